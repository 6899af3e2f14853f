import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { reportOf, type SeededFleet, seal, seedFleet } from '../../support/seeded-fleet.ts'
import { windowBody } from '../mqtt/test-device.ts'
import { type Box, newHub } from '../support/new-hub.ts'

/** They grow with the fleet or with time: nobody may walk through them to answer a request. */
const large = [
  'window_record',
  'event_record',
  'health_record',
  'device',
  'directive',
  'goal',
  'feed',
  'audit',
]

let box: Box
let seeded: SeededFleet
beforeAll(async () => {
  box = await newHub()
  seeded = await seedFleet(box, { devices: 60, windows: 3 })
})
afterAll(() => box.close())

/** Every statement that is prepared meanwhile: a hub that is made anew has none in store. */
async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  const spy = vi.spyOn(DatabaseSync.prototype, 'prepare')
  await work()
  const all = spy.mock.calls.map(([sql]) => sql)
  spy.mockRestore()
  return all
}

/** Statements that read every row of a large table, each with the step of its plan that does. */
function walks(statements: readonly string[]): string[] {
  const database = new DatabaseSync(`${box.stateDir}/hub.db`, { readOnly: true })
  const found = statements.flatMap((sql) => {
    if (!/^\s*(select|insert|update|delete|with)/i.test(sql)) return []
    const plan = database.prepare(`explain query plan ${sql}`).all() as { detail: string }[]
    // In the order of a key and with a limit, it stops when the page is full.
    const isSorted = plan.some(({ detail }) => detail === 'USE TEMP B-TREE FOR ORDER BY')
    if (/\blimit\b/i.test(sql) && !isSorted) return []
    const steps = plan.filter(({ detail }) => large.includes(/^SCAN (\w+)/.exec(detail)?.[1] ?? ''))
    return steps.map(({ detail }) => `${detail}: ${sql}`)
  })
  database.close()
  return [...new Set(found)]
}

const requests = [
  ...['/overview', '/devices', '/devices/dev-000004', '/devices/dev-000000/completeness'],
  ...[
    '/devices/dev-000004/windows',
    '/drift',
    '/energy',
    '/energy?groupBy=device',
    '/models/gauge/versions/1',
  ],
  ...['/telemetry/events', '/telemetry/events?kind=anomaly', '/telemetry/events?deviceId=dev-000004'],
]

test.each(requests)('GET %s walks through no table that grows', async (url) => {
  const hub = await box.again()
  const headers = { authorization: `Bearer ${box.adminToken}` }
  const statements = await statementsOf(async () => {
    const answer = await hub.http.inject({ url: `/api/v1${url}`, headers })
    expect(answer.statusCode).toBe(200)
  })
  expect(statements.length).toBeGreaterThan(0)
  expect(walks(statements)).toEqual([])
})

test('a rollout, a report and a batch walk through no table that grows', async () => {
  const hub = await box.again()
  const { rollouts, fleet, telemetry } = hub.services
  const { v1, v2, devices } = seeded
  const [device] = devices
  const statements = await statementsOf(async () => {
    const plan = { waves: [{ name: 'all', size: { rest: true as const } }] }
    const made = await rollouts.create(
      { ...v2.ref, slot: 'default', selector: '', plan, draft: false },
      'ana',
    )
    expect(made.created).toBe(true)
    await fleet.acceptReport(device!.id, reportOf(device!, 9, 2, v2, v2, box.time.now))
    await rollouts.heard(device!.id)
    const records = [{ seq: 9, body: windowBody(v1) }]
    await telemetry.receive(device!.id, 'window', seal(device!, { stream: 'window', base: 9, records }))
    await rollouts.tick()
  })
  expect(walks(statements)).toEqual([])
})
