import { join } from 'node:path'
import { EvidenceBook } from '@godwit/hub/rollout/evidence'
import { insertRollout, type RolloutHead, saveRollout } from '@godwit/hub/rollout/rollout-store'
import { type Database, openDatabase } from '@godwit/hub/store/database'
import { saveSlots } from '@godwit/hub/store/device-slot-store'
import { insertDevice, saveReport } from '@godwit/hub/store/device-store'
import { statements } from '@godwit/hub/store/migrations/008-fleet-sums'
import { completenessOf, fleetSummary, summaryOf } from '@godwit/hub/telemetry/completeness'
import { ingest } from '@godwit/hub/telemetry/ingest'
import { rollup } from '@godwit/hub/telemetry/rollup'
import type { Report } from '@godwit/protocol/messages/report'
import type { Batch, WindowRecord } from '@godwit/protocol/messages/telemetry'
import fc from 'fast-check'
import { CompiledQuery } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import { windowBody } from '../mqtt/test-device.ts'
import { goalOf, rolloutOf } from '../rollout/fixture.ts'
import { scratch } from '../support/scratch.ts'

function open(): Database {
  const database = openDatabase(join(scratch(), 'hub.db'))
  onTestFinished(() => database.close())
  return database
}

const goal = goalOf('2')
const ref = { model: goal.model, version: goal.version, releaseDigest: goal.releaseDigest }

function give(database: Database, deviceId: string, records: Batch['records'], change: Partial<Batch> = {}) {
  const bare = { v: 1 as const, fleet: 'f', deviceId, session: 'session-1', stream: 'window' as const }
  const batch = { ...bare, base: 1, dropped: [], records, ...change }
  return database.transaction((trx) => ingest(trx, batch, 5_000))
}

/** What the migration makes of what is there: the other way to the same figures. */
async function filledAnew({ db }: Database, table: 'window_sum' | 'device_slot') {
  await db.deleteFrom(table).execute()
  for (const statement of statements)
    if (statement.startsWith(`insert into ${table}`)) await db.executeQuery(CompiledQuery.raw(statement))
  return db.selectFrom(table).selectAll().orderBy('device_id').orderBy('slot').execute()
}

const label = fc.constantFrom('measured' as const, 'modelled' as const)
const energy = fc.record({ label, coverage: fc.constantFrom(0, 0.5, 1), joules: fc.nat(8) }).map((some) => ({
  ...{ idleShareJoules: 1, unattributedJoules: 0.5, source: 'tdp', scope: 'cpu', sigmaFactor: 2, cpuMs: 1 },
  ...some,
}))
const body = fc
  .record({
    energy: fc.option(energy, { nil: undefined }),
    slot: fc.constantFrom('a', 'b'),
    errors: fc.nat(3),
  })
  .map(({ energy, ...rest }) =>
    windowBody({ ref }, { ...rest, ...(energy && { energy }) } as Partial<WindowRecord>),
  )

describe('sums of windows', () => {
  test('are those of all windows, whatever came twice, in whatever order', async () => {
    const record = fc.record({ seq: fc.integer({ min: 1, max: 12 }), body })
    const sent = fc.array(fc.tuple(fc.constantFrom('d0', 'd1'), fc.array(record, { maxLength: 4 })), {
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(sent, async (batches) => {
        const database = openDatabase(':memory:')
        for (const [device, records] of batches) await give(database, device, records)
        const sums = database.db.selectFrom('window_sum').selectAll().orderBy('device_id').orderBy('slot')
        const byKey = (rows: object[]) => rows.map((row) => JSON.stringify(row)).sort()
        const kept = byKey(await sums.execute())
        expect(kept).toEqual(byKey(await filledAnew(database, 'window_sum')))
        await database.close()
      }),
      { numRuns: 25 },
    )
  })

  test('outlive the windows, and tell of each release in its slot', async () => {
    const database = open()
    const records = [1, 2, 3].map((seq) => ({ seq, body: windowBody({ ref }, { errors: 1, readings: 31 }) }))
    await give(database, 'd0', records)
    await database.db.deleteFrom('window_record').execute()
    expect(await rollup(database.db, 'd0')).toMatchObject([
      { ...ref, slot: 'default', windows: 3, readings: 93, inferences: 90, errors: 3, p95Micros: 1_000 },
    ])
  })
})

test('what a fleet misses is what its devices miss, one by one', async () => {
  const batch = fc.record({
    device: fc.constantFrom('d0', 'd1'),
    seqs: fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 5 }),
    base: fc.integer({ min: 1, max: 8 }),
    dropped: fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat(3)), { maxLength: 2 }),
    isBad: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { maxLength: 8 }), async (batches) => {
      const database = openDatabase(':memory:')
      for (const { device, seqs, base, dropped, isBad } of batches) {
        const records = seqs.map((seq) => ({ seq, body: isBad ? {} : windowBody({ ref }) }))
        const change = { base, dropped: dropped.map(([from, more]): [number, number] => [from, from + more]) }
        await give(database, device, records, change)
      }
      const all = [...(await completenessOf(database.db, 'd0')), ...(await completenessOf(database.db, 'd1'))]
      expect(await fleetSummary(database.db)).toMatchObject(summaryOf(all))
      await database.close()
    }),
    { numRuns: 40 },
  )
})

test('what devices run is read from their reports, and from old ones when a hub is updated', async () => {
  const database = open()
  const { db } = database
  await insertDevice(db, { id: 'd0', publicKey: 'a'.repeat(64), labels: {}, enrolledAt: 1 })
  const said = (slots: object) =>
    ({ deviceId: 'd0', session: 's', reportVersion: 1, slots }) as unknown as Report
  await saveSlots(db, said({ old: { phase: 'idle' } }))
  const report = said({
    a: { phase: 'committed', code: 'ok', active: ref },
    b: { phase: 'refused', code: 'too_big' },
  })
  await saveReport(db, report, JSON.stringify({ signed: report }), 1)
  await saveSlots(db, report)
  const kept = await db.selectFrom('device_slot').selectAll().orderBy('slot').execute()
  expect(kept).toMatchObject([
    { slot: 'a', phase: 'committed', version: '2', release_digest: goal.releaseDigest },
    { slot: 'b', phase: 'refused', code: 'too_big', version: null },
  ])
  expect(await filledAnew(database, 'device_slot')).toEqual(kept)
})

describe('evidence', () => {
  const head: RolloutHead = { revision: 1, createdAt: 0, createdBy: 'ana', updatedAt: 0, selector: '' }
  const records = (...seqs: number[]) => seqs.map((seq) => ({ seq, body: windowBody({ ref }) }))

  async function opened(database: Database) {
    const pending = rolloutOf(undefined, [1, 1])
    const deployments = new Map(
      [...pending.deployments].map(([id, d]) => [id, { ...d, state: 'succeeded' as const }]),
    )
    const rollout = { ...pending, deployments }
    await insertRollout(database.db, { rollout, head })
    await give(database, 'd0', records(1, 2))
    const waves = rollout.waves.map((wave, i) => (i === 0 ? { ...wave, state: 'open' as const } : wave))
    const after = { ...rollout, waves }
    await saveRollout(database.db, { rollout: after, head }, rollout)
    return after
  }

  test('begins when its wave opens: what the device had done before does not count', async () => {
    const database = open()
    const rollout = await opened(database)
    const book = new EvidenceBook()
    const look = async (now: number) => (await book.of(database.db, rollout, now)).get('d0')?.inferences
    expect(await look(5_000)).toBe(0)
    await give(database, 'd0', records(3))
    expect(await look(5_000)).toBe(30)
  })

  test('is the same to one who looks every second and to one who looks for the first time', async () => {
    const database = open()
    const rollout = await opened(database)
    const book = new EvidenceBook()
    for (let seq = 3; seq < 9; seq++) {
      await give(database, 'd0', records(seq))
      const seen = await book.of(database.db, rollout, 5_000 + seq)
      expect(seen).toEqual(await new EvidenceBook().of(database.db, rollout, 5_000 + seq))
    }
    // A clock that was set back loses nothing.
    expect((await book.of(database.db, rollout, 1)).get('d0')?.inferences).toBe(180)
  })
})
