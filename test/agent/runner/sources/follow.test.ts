import { appendFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openFollowed } from '@godwit/agent/runner/sources/follow'
import type { Source } from '@godwit/agent/runner/sources/source'
import { afterEach, expect, test } from 'vitest'
import { temporaryFolder } from '../bundle-on-disk.ts'
import { ManualClock } from '../manual-clock.ts'

const never = new AbortController().signal
const opened: Source[] = []

afterEach(async () => {
  for (const source of opened.splice(0)) await source.close()
})

async function follow(path: string, cursor?: unknown) {
  const clock = new ManualClock()
  const source = await openFollowed({ kind: 'jsonl', path }, ['t'], cursor, clock)
  opened.push(source)
  return { clock, source, take: () => taken(source, clock) }
}

/** The next reading's number, its polls hurried along. */
async function taken(source: Source, clock: ManualClock) {
  const hurry = setInterval(() => clock.advance(200), 0)
  const next = await source.next(never)
  clearInterval(hurry)
  return { t: next!.reading.values['t'], cursor: next!.cursor, reading: next!.reading }
}

function fresh(text?: string): string {
  const path = join(temporaryFolder(), 'readings.jsonl')
  if (text !== undefined) writeFileSync(path, text)
  return path
}

test('waits for the file, then for lines, and for the end of the last line', async () => {
  const path = fresh()
  const { take } = await follow(path)
  const first = take()
  writeFileSync(path, '{"t":1}\n{"t":')
  expect((await first).t).toBe(1)
  const second = take()
  appendFileSync(path, '2}\n')
  expect((await second).t).toBe(2)
})

test('goes on behind the last line of a checkpoint', async () => {
  const path = fresh('{"t":1}\n{"t":2}\n{"t":3}\n')
  const before = await follow(path)
  const { cursor } = await before.take()
  const after = await follow(path, JSON.parse(JSON.stringify(cursor)))
  expect((await after.take()).t).toBe(2)
})

test('reads a rotated file to its end before the new one', async () => {
  const path = fresh('{"t":1}\n')
  const { take } = await follow(path)
  await take()
  appendFileSync(path, '{"t":2}\n')
  renameSync(path, `${path}.1`)
  writeFileSync(path, '{"t":3}\n')
  const rest = [await take(), await take()]
  expect(rest.map(({ t }) => t)).toEqual([2, 3])
  // The sensor went on over the renaming: one stretch.
  expect(rest.some(({ reading }) => reading.isFirst)).toBe(false)
})

test('says that readings do not go on where another file took the name', async () => {
  const path = fresh('{"t":1}\n')
  const { take } = await follow(path)
  expect((await take()).reading.isFirst).toBeUndefined()
  writeFileSync(`${path}.new`, '{"t":2}\n{"t":3}\n')
  renameSync(`${path}.new`, path)
  expect([await take(), await take()].map(({ reading }) => reading.isFirst)).toEqual([true, undefined])
})

test('says so too when the file of the checkpoint is gone', async () => {
  const path = fresh('{"t":1}\n')
  const before = await follow(path)
  const { cursor } = await before.take()
  writeFileSync(`${path}.new`, '{"t":2}\n')
  renameSync(`${path}.new`, path)
  await before.source.close()
  const after = await follow(path, cursor)
  expect((await after.take()).reading).toMatchObject({ isFirst: true, values: { t: 2 } })
})

test('finds a file that was rotated while nobody looked, and reads what was left of it', async () => {
  const path = fresh('{"t":1}\n{"t":2}\n')
  const before = await follow(path)
  const { cursor } = await before.take()
  await before.source.close()
  renameSync(path, `${path}.1`)
  writeFileSync(path, '{"t":3}\n')
  const after = await follow(path, cursor)
  expect([(await after.take()).t, (await after.take()).t]).toEqual([2, 3])
})

test('begins again when the file was truncated', async () => {
  const path = fresh('{"t":1}\n{"t":2}\n')
  const { take } = await follow(path)
  await take()
  await take()
  truncateSync(path)
  appendFileSync(path, '{"t":3}\n')
  expect((await take()).reading).toMatchObject({ isFirst: true, values: { t: 3 } })
})

test('a line that is no object is a reading without values, not a reading less', async () => {
  const path = fresh('oops\n[1]\n{"t":"warm"}\n\n{"t":4,"at":"2026-01-01T00:00:00Z"}\n')
  const { take } = await follow(path)
  const values = [await take(), await take(), await take(), await take()]
  expect(values.map(({ t }) => t)).toEqual([undefined, undefined, Number.NaN, 4])
  expect(values.map(({ reading }) => reading.flaw !== undefined)).toEqual([true, true, false, false])
  expect(values[3]!.reading.at).toBe(Date.UTC(2026, 0, 1))
})

test('an interrupted wait loses no line', async () => {
  const path = fresh('{"t":1}\n')
  const { source, take } = await follow(path)
  await take()
  const interrupt = new AbortController()
  const pending = source.next(interrupt.signal)
  interrupt.abort()
  await expect(pending).rejects.toMatchObject({ name: 'AbortError' })
  appendFileSync(path, '{"t":2}\n')
  expect((await take()).t).toBe(2)
})

test('passes over any number of empty lines', async () => {
  const path = fresh(`${'\n'.repeat(60_000)}{"t":1}\n`)
  const { take } = await follow(path)
  expect((await take()).t).toBe(1)
})

test('goes on where a file system numbers its files beyond 2^53', async () => {
  const path = fresh('{"t":1}\n')
  const { take } = await follow(path, { inode: 2 ** 60, offset: 0 })
  // Not that file: but its number is one.
  expect((await take()).reading.isFirst).toBe(true)
})

test('begins at the start where the checkpoint is of another kind of source, and says that it does', async () => {
  const path = fresh('{"t":1}\n{"t":2}\n')
  const { take } = await follow(path, { pass: 3, index: 7 })
  const readings = [await take(), await take()]
  expect(readings.map(({ t, reading }) => [t, reading.isFirst])).toEqual([
    [1, true],
    [2, undefined],
  ])
})

async function followCsv(path: string, cursor?: unknown) {
  const clock = new ManualClock()
  const source = await openFollowed({ kind: 'csv', path }, ['t', 'h'], cursor, clock)
  opened.push(source)
  return { clock, source, take: () => taken(source, clock) }
}

test('a growing CSV file is read by the names in its first line, whatever else it holds', async () => {
  const path = join(temporaryFolder(), 'readings.csv')
  writeFileSync(path, 'at,h,note,t\n2026-01-01T00:00:00Z,40,"a, b",1\n5000,41,,2\n,42,,\n')
  const { take } = await followCsv(path)
  const readings = [await take(), await take(), await take()].map(({ reading }) => reading)
  expect(readings.map(({ values }) => values)).toEqual([
    { t: 1, h: 40 },
    { t: 2, h: 41 },
    { t: Number.NaN, h: 42 },
  ])
  expect(readings.map(({ at }) => at).slice(0, 2)).toEqual([Date.UTC(2026, 0, 1), 5_000])
})

test('a CSV file that is followed on knows its columns still, and a rotated one its own', async () => {
  const path = join(temporaryFolder(), 'readings.csv')
  writeFileSync(path, 't,h\n1,2\n3,4\n')
  const first = await (await followCsv(path)).take()
  const next = await followCsv(path, first.cursor)
  expect((await next.take()).reading.values).toEqual({ t: 3, h: 4 })
  renameSync(path, `${path}.1`)
  writeFileSync(path, 'h,t\n5,6\n')
  expect((await next.take()).reading.values).toEqual({ t: 6, h: 5 })
})

test('a CSV line that does not fit its header is an error with a reason', async () => {
  const path = join(temporaryFolder(), 'readings.csv')
  writeFileSync(path, 't,h\n1\n')
  expect((await (await followCsv(path)).take()).reading.flaw).toBe('1 cells, the header has 2')
  const other = join(temporaryFolder(), 'other.csv')
  writeFileSync(other, 't\n1\n')
  expect((await (await followCsv(other)).take()).reading.flaw).toBe('the header has no column h')
})
