import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { factorFor } from '@godwit/hub/energy/factor'
import { type Database, openDatabase } from '@godwit/hub/store/database'
import { completenessOf } from '@godwit/hub/telemetry/completeness'
import { ingest } from '@godwit/hub/telemetry/ingest'
import { forgetBefore } from '@godwit/hub/telemetry/retention'
import { energyBy } from '@godwit/hub/telemetry/rollup'
import type { Batch } from '@godwit/protocol/messages/telemetry'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventBody, windowBody } from '../mqtt/test-device.ts'

let database: Database
let directory: string
let devices = 0
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'godwit-ingest-'))
  database = openDatabase(join(directory, 'hub.db'))
})
afterAll(async () => {
  await database.close()
  await rm(directory, { recursive: true, force: true })
})

const release = { ref: { model: 'gauge', version: '1', releaseDigest: 'a'.repeat(64) } }

/** A device's event stream as the hub sees it; each test has a device of its own. */
function stream() {
  const deviceId = `d${++devices}`
  let at = 1_000
  const give = (change: Partial<Batch> & { seqs?: number[] } = {}) => {
    const { seqs = [], ...rest } = change
    const records = seqs.map((seq) => ({ seq, body: eventBody({ key: `k${seq}` }) }))
    const batch: Batch = {
      v: 1,
      fleet: 'f',
      deviceId,
      session: 'session-1',
      stream: 'event',
      base: 1,
      dropped: [],
      records,
      ...rest,
    }
    return database.transaction((trx) => ingest(trx, batch, at++))
  }
  const acked = async (change: Parameters<typeof give>[0]) => (await give(change)).ack.acks['event']
  const state = async (session = 'session-1') =>
    (await completenessOf(database.db, deviceId)).find((entry) => entry.session === session)
  const seqs = async () => {
    const rows = await database.db
      .selectFrom('event_record')
      .select('seq')
      .where('device_id', '=', deviceId)
      .orderBy('seq')
      .execute()
    return rows.map(({ seq }) => seq)
  }
  return { deviceId, give, acked, state, seqs }
}

describe('a batch', () => {
  test('of a device that has lost every other record for days is taken like any other', async () => {
    const { acked, state } = stream()
    await acked({ seqs: [1] })
    // They add up over batches; more rows than one statement has parameters for.
    const dropped = Array.from({ length: 6_000 }, (_, k) => 2 + 2 * k)
    expect(await acked({ dropped: dropped.map((seq) => [seq, seq, 'spool_full']) })).toBe(2)
    expect((await state())!.dropped).toHaveLength(6_000)
  })

  test('is stored and acked up to its last record', async () => {
    const { acked, seqs, state } = stream()
    expect(await acked({ seqs: [1, 2, 3] })).toBe(3)
    expect(await seqs()).toEqual([1, 2, 3])
    expect(await state()).toMatchObject({
      contiguous: 3,
      highest: 3,
      stored: 3,
      duplicates: 0,
      missing: [],
      dropped: [],
    })
  })

  test('that comes twice is stored once, acked twice, and counted', async () => {
    const { acked, seqs, state } = stream()
    await acked({ seqs: [1, 2] })
    expect(await acked({ seqs: [1, 2] })).toBe(2)
    expect(await seqs()).toEqual([1, 2])
    expect(await state()).toMatchObject({ stored: 2, duplicates: 2 })
  })

  test('that overtakes another is stored at once and acked when the other is here', async () => {
    const { acked, state } = stream()
    expect(await acked({ seqs: [4, 5] })).toBe(0)
    expect((await state())?.missing).toEqual([{ first: 1, last: 3, reason: 'awaited' }])
    expect(await acked({ seqs: [1, 2, 3] })).toBe(5)
    expect((await state())?.missing).toEqual([])
  })

  test('with a gap names the gap exactly', async () => {
    const { acked, state } = stream()
    expect(await acked({ seqs: [1, 2, 5, 6, 9] })).toBe(2)
    expect((await state())?.missing).toEqual([
      { first: 3, last: 4, reason: 'awaited' },
      { first: 7, last: 8, reason: 'awaited' },
    ])
  })

  test('with a bad record keeps the good ones, keeps the bad one as refused, and acks both', async () => {
    const { deviceId, acked, seqs, state } = stream()
    const records = [
      { seq: 1, body: eventBody() },
      { seq: 2, body: eventBody({ kind: 'Not A Kind' }) },
      { seq: 3, body: eventBody() },
    ]
    expect(await acked({ records })).toBe(3)
    expect(await acked({ records })).toBe(3)
    expect(await seqs()).toEqual([1, 3])
    expect(await state()).toMatchObject({ stored: 2, rejected: 1, duplicates: 3 })
    const [row] = await database.db
      .selectFrom('rejected_record')
      .selectAll()
      .where('device_id', '=', deviceId)
      .execute()
    expect(row).toMatchObject({ seq: 2, detail: expect.stringContaining('event: /kind') })
  })

  test('with one sequence number twice keeps the first', async () => {
    const { acked, state } = stream()
    const records = [
      { seq: 1, body: eventBody({ kind: 'first' }) },
      { seq: 1, body: eventBody({ kind: 'second' }) },
    ]
    expect(await acked({ records })).toBe(1)
    expect(await state()).toMatchObject({ stored: 1, duplicates: 1 })
  })

  test('without records still tells what was dropped', async () => {
    const { acked, state } = stream()
    await acked({ seqs: [1, 2] })
    expect(await acked({ base: 6, dropped: [[3, 5]] })).toBe(5)
    expect(await state()).toMatchObject({
      contiguous: 5,
      highest: 5,
      dropped: [{ first: 3, last: 5, reason: 'spool_full' }],
    })
  })
})

describe('what the device dropped', () => {
  test('keeps the limit that it was told with first, whatever the device says later', async () => {
    const { acked, state } = stream()
    await acked({
      seqs: [1, 9],
      dropped: [
        [2, 3, 'too_old'],
        [4, 4, 'too_large'],
        [5, 5],
      ],
      base: 6,
    })
    await acked({ dropped: [[2, 7, 'spool_full']], base: 8 })
    expect(await state()).toMatchObject({
      contiguous: 7,
      dropped: [
        { first: 2, last: 3, reason: 'too_old' },
        { first: 4, last: 4, reason: 'too_large' },
        { first: 5, last: 7, reason: 'spool_full' },
      ],
      missing: [{ first: 8, last: 8, reason: 'awaited' }],
    })
  })

  test('is counted once, however often it says so and however the ranges grow', async () => {
    const { acked, state } = stream()
    await acked({ seqs: [1, 2] })
    expect(await acked({ base: 6, dropped: [[3, 5]], seqs: [10] })).toBe(5)
    expect(await acked({ base: 10, dropped: [[3, 9]], seqs: [10] })).toBe(10)
    expect(
      await acked({
        base: 10,
        dropped: [
          [3, 5],
          [5, 9],
        ],
        seqs: [11],
      }),
    ).toBe(11)
    expect(await state()).toMatchObject({ dropped: [{ first: 3, last: 9 }], missing: [], contiguous: 11 })
  })

  test('and arrives all the same is stored and no longer counted', async () => {
    const { acked, state, seqs } = stream()
    await acked({ seqs: [1], dropped: [[2, 4]], base: 5 })
    await acked({ seqs: [3] })
    expect(await seqs()).toEqual([1, 3])
    expect((await state())?.dropped).toEqual([
      { first: 2, last: 2, reason: 'spool_full' },
      { first: 4, last: 4, reason: 'spool_full' },
    ])
  })

  test('and is stored already is not counted', async () => {
    const { acked, state } = stream()
    await acked({ seqs: [1, 2, 3] })
    await acked({ seqs: [6], base: 6, dropped: [[2, 5]] })
    expect((await state())?.dropped).toEqual([{ first: 4, last: 5, reason: 'spool_full' }])
  })
})

describe('records below the device’s base', () => {
  test('of a session that this hub never met are forgotten, not missing', async () => {
    const { acked, state } = stream()
    expect(await acked({ base: 101, dropped: [[50, 59]], seqs: [101, 102] })).toBe(102)
    expect(await state()).toMatchObject({ forgotten: 90, missing: [], dropped: [{ first: 50, last: 59 }] })
  })

  test('of a session that it knows stay missing for good, and do not make the device send for ever', async () => {
    const { acked, state } = stream()
    await acked({ seqs: [1, 2] })
    expect(await acked({ base: 6, seqs: [6, 7] })).toBe(7)
    expect(await state()).toMatchObject({
      forgotten: 0,
      missing: [{ first: 3, last: 5, reason: 'never_arrived' }],
    })
  })

  test('that arrive after all are no longer missing', async () => {
    const { acked, state } = stream()
    await acked({ seqs: [1, 2] })
    await acked({ base: 6, seqs: [6] })
    await acked({ seqs: [4] })
    expect((await state())?.missing.map(({ first, last }) => [first, last])).toEqual([
      [3, 3],
      [5, 5],
    ])
  })
})

describe('sessions and streams', () => {
  test('count each for themselves', async () => {
    const { deviceId, give } = stream()
    await give({ seqs: [1, 2] })
    await give({ seqs: [1], session: 'session-2' })
    await give({ stream: 'window', records: [{ seq: 1, body: windowBody(release) }] })
    const all = await completenessOf(database.db, deviceId)
    expect(all.map(({ session, stream, stored }) => `${session} ${stream} ${stored}`).sort()).toEqual([
      'session-1 event 2',
      'session-1 window 1',
      'session-2 event 1',
    ])
  })
})

describe('whatever order batches come in', () => {
  test('each record is stored exactly once, the ack is the last before the first hole, and the numbers add up', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 8 }), {
          minLength: 1,
          maxLength: 12,
        }),
        async (batches) => {
          const { acked, seqs, state } = stream()
          const sent = new Set<number>()
          let last = 0
          for (const batch of batches) {
            for (const seq of batch) sent.add(seq)
            const ack = (await acked({ seqs: batch }))!
            let hole = 1
            while (sent.has(hole)) hole++
            expect(ack).toBe(hole - 1)
            expect(ack).toBeGreaterThanOrEqual(last)
            last = ack
          }
          expect(await seqs()).toEqual([...sent].sort((a, b) => a - b))
          const { stored, duplicates } = (await state())!
          expect(stored + duplicates).toBe(batches.flat().length)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('retention', () => {
  test('forgets what is old, keeps counting it, and does not store it a second time', async () => {
    const cam = stream()
    for (const seq of [1, 2, 3]) await cam.give({ seqs: [seq] })
    // The test's clock began at 1000 and went on by one with every batch: only the third is young.
    expect(await forgetBefore(database, (await cam.state())!.lastAt)).toBeGreaterThanOrEqual(2)
    expect(await cam.seqs()).toEqual([3])
    expect(await cam.state()).toMatchObject({ stored: 3, contiguous: 3, missing: [], duplicates: 0 })
    expect(await cam.acked({ seqs: [1, 2, 3, 4] })).toBe(4)
    expect(await cam.seqs()).toEqual([3, 4])
    expect(await cam.state()).toMatchObject({ stored: 4, contiguous: 4, missing: [], duplicates: 3 })
  })

  test('never forgets what is not settled: a hole may still be filled', async () => {
    const cam = stream()
    await cam.give({ seqs: [1, 3] })
    await forgetBefore(database, Number.MAX_SAFE_INTEGER)
    expect(await cam.seqs()).toEqual([3])
    expect(await cam.state()).toMatchObject({ missing: [{ first: 2, last: 2, reason: 'awaited' }] })
    expect(await cam.acked({ seqs: [2] })).toBe(3)
  })
})

test('a device that claims to have done more than can be counted takes nobody the sums of the fleet', async () => {
  const { give } = stream()
  for (const seq of [1, 2]) {
    const body = { ...windowBody(release), inferences: Number.MAX_SAFE_INTEGER }
    await give({ stream: 'window', records: [{ seq, body }] })
  }
  const [all] = await energyBy(database.db, 'all', factorFor('WORLD'), {})
  expect(all!.inferences).toBeGreaterThan(Number.MAX_SAFE_INTEGER)
})
