import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readRecording } from '@godwit/agent/runner/sources/recording'
import { openReplay, replay } from '@godwit/agent/runner/sources/replay'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../bundle-on-disk.ts'
import { ManualClock } from '../manual-clock.ts'

const csv = '\uFEFFtime,humidity,"temp, C",temperature\r\n1,40,x,20.5\r\n2,,y,21\r\n3,"41",z,n/a\r\n'
const never = new AbortController().signal

describe('recordings', () => {
  test('a CSV file gives the columns asked for by their header names; empty and worded cells are missing', () => {
    const { length, columns } = readRecording(csv, ['temperature', 'humidity'], 'mote.csv')
    expect(length).toBe(3)
    expect([...columns.get('temperature')!]).toEqual([20.5, 21, Number.NaN])
    expect([...columns.get('humidity')!]).toEqual([40, Number.NaN, 41])
  })

  test('JSON lines are told from CSV by their first character', () => {
    const { columns } = readRecording('{"t":1}\n{"h":2}\n{"t":"3"}\n', ['t'], 'mote.jsonl')
    expect([...columns.get('t')!]).toEqual([1, Number.NaN, Number.NaN])
  })

  test('a missing column is named, with those that are there', () => {
    expect(() => readRecording(csv, ['pressure'], 'mote.csv')).toThrow(
      'mote.csv has no column pressure; it has time, humidity, temp, C, temperature',
    )
  })

  test('a broken line is named', () => {
    expect(() => readRecording('{"t":1}\nnull\n', ['t'], 'mote.jsonl')).toThrow(
      'mote.jsonl:2 is no JSON object',
    )
    expect(() => readRecording('{"t":1}\n{"t":', ['t'], 'mote.jsonl')).toThrow(
      'mote.jsonl:2 is no JSON object',
    )
  })
})

describe('replay', () => {
  const recording = readRecording('t\n10\n20\n30\n', ['t'], 'three.csv')

  test('keeps its schedule however late each reading is taken', async () => {
    const clock = new ManualClock()
    const source = replay(recording, { intervalMs: 100, loop: true }, { pass: 0, index: 0 }, clock)
    const times: number[] = []
    for (let i = 0; i < 6; i++) {
      const next = source.next(never)
      await Promise.resolve()
      while (clock.waiting > 0) clock.advance(1)
      await next
      times.push(clock.monotonicMs())
      clock.advance(30)
    }
    expect(times).toEqual([0, 100, 200, 300, 400, 500])
  })

  test('a wait that is interrupted ends at once, loses no reading, and leaves the next wait to its own signal', async () => {
    const clock = new ManualClock()
    const source = replay(recording, { intervalMs: 100, loop: true }, { pass: 0, index: 0 }, clock)
    const [first, second] = [new AbortController(), new AbortController()]
    await source.next(first.signal)
    const interrupted = source.next(first.signal)
    first.abort(new Error('window ends'))
    await expect(interrupted).rejects.toThrow('window ends')
    expect(clock.waiting).toBe(0)
    const next = source.next(second.signal)
    await Promise.resolve()
    first.abort()
    clock.advance(100)
    expect((await next)?.reading.values).toEqual({ t: 20 })
  })

  test('makes good a second of a long stop, and lets the rest go by', async () => {
    const clock = new ManualClock()
    const source = replay(recording, { intervalMs: 100, loop: true }, { pass: 0, index: 0 }, clock)
    await source.next(never)
    clock.advance(60_000)
    let atOnce = 0
    for (;;) {
      const next = source.next(never)
      await Promise.resolve()
      const mustWait = clock.waiting > 0
      if (mustWait) clock.advance(100)
      await next
      if (mustWait) break
      atOnce++
    }
    expect(atOnce).toBe(11)
  })

  test('begins again at the end, and names pass and row of each reading', async () => {
    const source = replay(recording, { intervalMs: 0, loop: true }, { pass: 4, index: 2 }, new ManualClock())
    const first = await source.next(never)
    const second = await source.next(never)
    expect([first?.reading.position, second?.reading.position]).toEqual(['4:2', '5:0'])
    expect([first?.reading.values['t'], second?.reading.values['t']]).toEqual([30, 10])
    expect([first?.reading.isFirst, second?.reading.isFirst]).toEqual([undefined, true])
    expect(second?.cursor).toEqual({ pass: 5, index: 1 })
  })

  test('an interrupted wait loses no reading', async () => {
    const clock = new ManualClock()
    const source = replay(recording, { intervalMs: 100, loop: false }, { pass: 0, index: 0 }, clock)
    await source.next(never)
    const interrupt = new AbortController()
    const pending = source.next(interrupt.signal)
    interrupt.abort()
    await expect(pending).rejects.toMatchObject({ name: 'AbortError' })
    expect(clock.waiting).toBe(0)
    clock.advance(100)
    expect((await source.next(never))?.reading).toMatchObject({ position: '0:1', values: { t: 20 } })
  })

  test('begins at the start where the checkpoint is of another kind of source', async () => {
    const path = join(temporaryFolder(), 'recording.csv')
    writeFileSync(path, 't\n10\n')
    const config = { kind: 'replay' as const, path, intervalMs: 0, loop: false }
    const source = await openReplay(config, ['t'], { pending: [] }, new ManualClock())
    expect((await source.next(never))?.reading).toMatchObject({ isFirst: true, values: { t: 10 } })
  })

  test('ends where the recording ends', async () => {
    const source = replay(recording, { intervalMs: 0, loop: false }, { pass: 0, index: 3 }, new ManualClock())
    expect(await source.next(never)).toBeUndefined()
  })
})
