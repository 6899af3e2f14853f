import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { Sender } from '@godwit/agent/control/spool/sender'
import { Spool, spoolTimeMs } from '@godwit/agent/control/spool/spool'
import { dropsAfter } from '@godwit/agent/control/spool/stream'
import { openDatabase } from '@godwit/agent/control/state/database'
import { batchBytesMax } from '@godwit/protocol/limits'
import {
  batchSigningBytes,
  decodeBatch,
  decodeSealedBatch,
  type EventRecord,
} from '@godwit/protocol/messages/telemetry'
import { type Stream, streams } from '@godwit/protocol/topics'
import { publicKeyOf, verify } from '@godwit/protocol/trust/ed25519'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { seedOf } from '../../../support/tuf-repository.ts'

const directories: string[] = []
const seed = seedOf('device')
const device = { seed, keyid: keyIdOf(keyOfSeed(seed)) }
const names = { fleet: 'shed', deviceId: 'd1' }

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
})

function newPath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-spool-'))
  directories.push(directory)
  return join(directory, 'agent.db')
}

const event = (key: string, padding = 0): EventRecord => ({
  kind: 'tick',
  key,
  at: 1,
  severity: 'info',
  detail: { padding: 'x'.repeat(padding) },
})

/** Puts any body on any stream: the spool does not look inside. */
const entry = (stream: Stream, key: string, padding = 0, at = 0) =>
  ({ stream, body: event(key, padding), at }) as Parameters<Spool['append']>[0][number]

/** What a hub does with batches: stores by number, acks what is stored or told as dropped without a gap. */
class Hub {
  readonly held = new Map<string, string>()
  readonly dropped = new Map<string, [number, number][]>()
  readonly acked: Record<Stream, number> = { event: 0, window: 0, health: 0 }
  contradictions = 0

  take(bytes: Uint8Array): Stream {
    const sealed = decodeSealedBatch(bytes)
    if (!sealed.ok) throw new Error(sealed.detail)
    expect(verify(publicKeyOf(seed), batchSigningBytes(sealed.value.payload), sealed.value.sig)).toBe(true)
    const read = decodeBatch(sealed.value.payload)
    if (!read.ok) throw new Error(read.detail)
    const { stream, records, dropped } = read.value
    for (const { seq, body } of records) {
      const text = JSON.stringify(body)
      const known = this.held.get(`${stream}/${seq}`)
      if (known !== undefined && known !== text) this.contradictions++
      this.held.set(`${stream}/${seq}`, text)
    }
    this.dropped.set(stream, [...(this.dropped.get(stream) ?? []), ...(dropped as [number, number][])])
    const isKnown = (seq: number) =>
      this.held.has(`${stream}/${seq}`) || this.dropped.get(stream)!.some(([a, b]) => a <= seq && seq <= b)
    while (isKnown(this.acked[stream] + 1)) this.acked[stream]++
    return stream
  }
}

describe('the spool', () => {
  test('loses and repeats nothing over lost batches, lost acks and restarts; what it drops it tells', () => {
    const action = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant('append' as const),
          stream: fc.constantFrom(...streams),
          padding: fc.nat(2_000),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('send' as const), lost: fc.boolean(), ackLost: fc.boolean() }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const path = newPath()
        let { database } = openDatabase(path, 0)
        const limits = { bytesMax: 12_000, ageMaxMs: 1e12 }
        let spool = new Spool(database, limits)
        let sender = new Sender(spool, device, names)
        const { session } = spool
        const hub = new Hub()
        const given: Record<Stream, string[]> = { event: [], window: [], health: [] }
        let nowMs = 0
        const deliver = (lost: boolean, ackLost: boolean) => {
          nowMs += 1_000_000
          for (const { bytes } of sender.due(nowMs)) {
            if (lost) continue
            const stream = hub.take(bytes)
            if (!ackLost) sender.acknowledged({ session, acks: { [stream]: hub.acked[stream] } })
          }
        }
        for (const [i, step] of actions.entries()) {
          if (step.do === 'append') {
            spool.append([entry(step.stream, `k${i}`, step.padding)], 0)
            given[step.stream].push(`k${i}`)
          } else if (step.do === 'send') deliver(step.lost, step.ackLost)
          else {
            database.close()
            database = openDatabase(path, 0).database
            spool = new Spool(database, limits)
            sender = new Sender(spool, device, names)
          }
          expect(spool.figures.bytes).toBeLessThanOrEqual(limits.bytesMax)
        }
        for (let i = 0; i < 20; i++) deliver(false, false)
        expect(spool.session).toBe(session)
        expect(hub.contradictions).toBe(0)
        for (const stream of streams) {
          // Every number given out is stored under its own record, or told as dropped.
          expect(hub.acked[stream]).toBe(given[stream].length)
          for (const [i, key] of given[stream].entries()) {
            const stored = hub.held.get(`${stream}/${i + 1}`)
            if (stored !== undefined) expect(JSON.parse(stored).key).toBe(key)
          }
        }
        const told = streams.flatMap((stream) =>
          given[stream].filter((_, i) => !hub.held.has(`${stream}/${i + 1}`)),
        )
        expect(told.length).toBeLessThanOrEqual(spool.figures.dropped)
        expect(spool.figures.records).toBe(0)
        database.close()
      }),
      { numRuns: 25, seed: 20_261_122 },
    )
  })

  test('holds of every stream the newest without a hole, within its limits, and lets go no more than it must and of the lowest class', () => {
    const bytesMax = 6_000
    const given = fc.array(fc.tuple(fc.constantFrom(...streams), fc.nat(1_500)), { maxLength: 40 })
    fc.assert(
      fc.property(given, (entries) => {
        const { database } = openDatabase(newPath(), 0)
        const spool = new Spool(database, { bytesMax, ageMaxMs: 1e12 })
        const bytesOf = (stream: Stream) =>
          spool.oldest(stream, 99).reduce((sum, { bytes }) => sum + bytes, 0)
        for (const [i, [stream, padding]] of entries.entries()) {
          const before = new Map(streams.map((one) => [one, spool.oldest(one, 99)]))
          spool.append([entry(stream, `k${i}`, padding)], 0)
          let isAbove = false
          for (const one of streams) {
            const held = spool.oldest(one, 99)
            const { next, droppedThrough } = spool.marks(one)
            expect(held.map(({ seq }) => seq)).toEqual(
              Array.from({ length: next - 1 - droppedThrough }, (_, n) => droppedThrough + 1 + n),
            )
            // Streams come in the order of their priority: once one had to give way, those below it are empty.
            if (isAbove) expect(held).toEqual([])
            const last = before.get(one)!.findLast(({ seq }) => seq <= droppedThrough)
            isAbove ||= last !== undefined
            // The last one that went had to.
            if (last) expect(spool.figures.bytes + last.bytes).toBeGreaterThan(bytesMax)
          }
          expect(spool.figures.bytes).toBeLessThanOrEqual(bytesMax)
          expect(streams.reduce((sum, one) => sum + bytesOf(one), 0)).toBe(spool.figures.bytes)
        }
        database.close()
      }),
      { numRuns: 15, seed: 20_261_123 },
    )
  })

  test('keeps the alarm and drops the heartbeat when it is full', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 5_000, ageMaxMs: 1e12 })
    spool.append([entry('health', 'h1', 1_000), entry('event', 'e1', 1_000), entry('window', 'w1', 1_000)], 0)
    spool.append([entry('health', 'h2', 1_000), entry('window', 'w2', 1_000)], 0)
    expect(spool.oldest('health', 9).map(({ seq }) => seq)).toEqual([2])
    spool.append([entry('window', 'w3', 1_000), entry('event', 'e2', 1_000)], 0)
    expect(spool.oldest('health', 9)).toEqual([])
    expect(spool.oldest('window', 9).map(({ seq }) => seq)).toEqual([2, 3])
    expect(spool.oldest('event', 9)).toHaveLength(2)
    expect(spool.figures.dropped).toBe(3)
    expect(spool.headOf('health')).toMatchObject({ base: 3, dropped: [[1, 2, 'spool_full']] })
    database.close()
  })

  test('drops what is older than its limit, and says so', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1_000 })
    spool.append([entry('window', 'w1', 0, 0)], 0)
    spool.append([entry('window', 'w2', 0, 5_000)], 5_000)
    expect(spool.headOf('window')).toMatchObject({ base: 2, dropped: [[1, 1, 'too_old']] })
    database.close()
  })

  test('a clock that jumps ahead a year drops nothing; time that has passed does, over restarts', () => {
    const path = newPath()
    const year = 365 * 86_400_000
    let wallMs = 1_000_000
    let monotonicMs = 0
    let { database } = openDatabase(path, 0)
    const timeNow = () => {
      monotonicMs = 7
      const clock = { wallMs: () => wallMs, monotonicMs: () => monotonicMs }
      return new TrustedTime(clock, 1_000_000, () => {}, spoolTimeMs(database))
    }
    let time = timeNow()
    const append = (key: string) =>
      new Spool(database, { bytesMax: 1e9, ageMaxMs: 1_000 }).append(
        [entry('window', key, 0, time.leastMs())],
        time.leastMs(),
      )
    const held = () => new Spool(database, { bytesMax: 1e9, ageMaxMs: 1_000 }).oldest('window', 9)
    const seqs = () => held().map(({ seq }) => seq)
    append('w1')
    wallMs += year
    monotonicMs += 600
    append('w2')
    expect(seqs()).toEqual([1, 2])
    database.close()
    database = openDatabase(path, 0).database
    time = timeNow()
    wallMs -= 2 * year
    append('w3')
    expect(seqs()).toEqual([1, 2, 3])
    monotonicMs += 500
    append('w4')
    expect(seqs()).toEqual([2, 3, 4])
    time.raiseFloor(1_000_000 + year)
    append('w5')
    expect(seqs()).toEqual([5])
    expect(new Spool(database, { bytesMax: 1e9, ageMaxMs: 1_000 }).headOf('window').dropped).toEqual([
      [1, 4, 'too_old'],
    ])
    database.close()
  })

  test('what was dropped is told with the limit that it fell to, also after a restart and an ack of a part', () => {
    const path = newPath()
    let { database } = openDatabase(path, 0)
    const old = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1_000 })
    for (const at of [0, 10, 5_000, 5_010, 5_020]) old.append([entry('window', `w${at}`, 100, at)], at)
    database.close()
    database = openDatabase(path, 0).database
    const small = new Spool(database, { bytesMax: 1, ageMaxMs: 1e12 })
    small.append([entry('window', 'w6', 100, 5_030)], 5_030)
    expect(small.headOf('window')).toMatchObject({
      base: 7,
      dropped: [
        [1, 2, 'too_old'],
        [3, 6, 'spool_full'],
      ],
    })
    small.acknowledge('window', 4)
    expect(small.headOf('window').dropped).toEqual([[5, 6, 'spool_full']])
    small.acknowledge('window', 6)
    expect(small.headOf('window').dropped).toEqual([])
    database.close()
  })

  test('what was dropped without a reason on record is told all the same', () => {
    const marks = { next: 9, acked: 2, droppedThrough: 6, droppedCount: 4 }
    expect(dropsAfter([], marks)).toEqual([[3, 6, 'spool_full']])
    expect(dropsAfter([[5, 6, 'too_old']], marks)).toEqual([
      [3, 4, 'spool_full'],
      [5, 6, 'too_old'],
    ])
  })

  test('an event told twice counts once, also after it was acked', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1e12 })
    spool.append([entry('event', 'kettle/117')], 0)
    spool.acknowledge('event', 1)
    spool.append([entry('event', 'kettle/117'), entry('event', 'kettle/118')], 0)
    expect(spool.oldest('event', 9).map(({ seq }) => seq)).toEqual([2])
    database.close()
  })

  test('stores neither window nor checkpoint when one of them fails', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1e12 })
    const fail = () => {
      throw new Error('disk full')
    }
    expect(() => spool.append([entry('window', 'w1')], 0, fail)).toThrow('disk full')
    expect(spool.figures.records).toBe(0)
    spool.append([entry('window', 'w1')], 0)
    expect(spool.oldest('window', 9).map(({ seq }) => seq)).toEqual([1])
    database.close()
  })

  test('an ack of another session or for numbers never given out is ignored', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1e12 })
    const sender = new Sender(spool, device, names)
    spool.append([entry('window', 'w1')], 0)
    sender.acknowledged({ session: 'another-life', acks: { window: 1 } })
    sender.acknowledged({ session: spool.session, acks: { window: 7 } })
    expect(spool.figures.records).toBe(1)
    database.close()
  })

  test('one batch is on its way per stream, and goes again when no ack comes', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1e12 })
    const sender = new Sender(spool, device, names)
    spool.append([entry('window', 'w1')], 0)
    expect(sender.due(0)).toHaveLength(1)
    spool.append([entry('window', 'w2'), entry('event', 'e1')], 0)
    expect(sender.due(1).map(({ stream }) => stream)).toEqual(['event'])
    expect(sender.due(9_999)).toEqual([])
    expect(sender.due(10_001).find(({ stream }) => stream === 'window')?.last).toBe(2)
    // Twice as long from now on: a hub that is slow must not be asked ever more.
    expect(sender.due(30_000)).toEqual([])
    expect(sender.due(30_001).map(({ stream }) => stream)).toEqual(['event', 'window'])
    database.close()
  })

  test('a stream that the broker would not take waits, and the others go on', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1e12 })
    const sender = new Sender(spool, device, names)
    spool.append([entry('window', 'w1'), entry('event', 'e1')], 0)
    sender.hold('window', 5_000)
    expect(sender.due(0).map(({ stream }) => stream)).toEqual(['event'])
    expect(sender.due(5_000).map(({ stream }) => stream)).toEqual(['window'])
    database.close()
  })

  test('batches stay below the limit of the wire, and a record that fits none is told as dropped', () => {
    const { database } = openDatabase(newPath(), 0)
    const spool = new Spool(database, { bytesMax: 1e9, ageMaxMs: 1e12 })
    const sender = new Sender(spool, device, names)
    spool.append([entry('window', 'huge', batchBytesMax)], 0)
    for (let i = 0; i < 10; i++) spool.append([entry('window', `w${i}`, 30_000)], 0)
    const [batch] = sender.due(0)
    expect(batch!.bytes.length).toBeLessThanOrEqual(batchBytesMax)
    expect(batch!.last).toBe(4)
    expect(spool.headOf('window').dropped).toEqual([[1, 1, 'too_large']])
    database.close()
  })
})
