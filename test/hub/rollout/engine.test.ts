import type { CreateRequest } from '@godwit/hub/rollout/create'
import type { Hub } from '@godwit/hub/wiring'
import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import {
  fleet,
  goalOf,
  type Known,
  listedVersion,
  plainFiles,
  TestDevice,
  windowBody,
} from '../mqtt/test-device.ts'
import { type Box, newHub } from '../support/new-hub.ts'

let box: Box
let devices: TestDevice[]
let v1: Known
let v2: Known

const quick = { soakMs: 60_000, minSample: 10, deadlineMs: 3_600_000 }
const plan = {
  waves: [
    { name: 'canary', size: { count: 1 }, ...quick },
    { name: 'rest', size: { rest: true as const }, ...quick },
  ],
}
const request = (change: Partial<CreateRequest> = {}): CreateRequest => ({
  ...{ model: 'gauge', version: '2', slot: 'default', selector: '', plan, draft: false },
  ...change,
})

/** Four devices that run version 1, online. */
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  v1 = await listedVersion(box, '1', plainFiles(1))
  v2 = await listedVersion(box, '2', plainFiles(2))
  devices = []
  for (let i = 0; i < 4; i++) {
    const device = await TestDevice.enrolled(box, `d${i}`, 20 + i, { site: i < 2 ? 'indoor' : 'outdoor' })
    devices.push(device)
    await (await device.connect()).subscribeAll()
  }
  await box.hub.services.directives.setGoal(
    devices.map(({ id }) => id),
    'default',
    goalOf(v1),
    { who: 'test' },
  )
  for (const device of devices) {
    await hasDirective(device, v1)
    await device.says('committed', v1, 'ok')
  }
})
afterEach(async () => {
  for (const device of devices) await device.end()
  await box.close()
})

const hasDirective = (device: TestDevice, version: Known) =>
  waitFor(() => expect(device.directive()?.slots['default']?.releaseDigest).toBe(version.ref.releaseDigest))
const told = (version: Known) =>
  devices.filter(
    (device) => device.directive()?.slots['default']?.releaseDigest === version.ref.releaseDigest,
  )

async function create(change: Partial<CreateRequest> = {}): Promise<string> {
  const verdict = await box.hub.services.rollouts.create(request(change), 'token:ana')
  if (!verdict.created) throw new Error(JSON.stringify(verdict))
  return verdict.stored.rollout.id
}

async function rolloutOf(id: string, hub: Hub = box.hub) {
  return (await hub.services.rollouts.get(id))!.rollout
}

async function tick(advanceMs = 1_000, hub: Hub = box.hub): Promise<void> {
  box.time.now += advanceMs
  await hub.services.rollouts.tick()
}

/** What was decided, in the order of its deciding. */
async function decided(id: string) {
  return (await box.hub.services.rollouts.entries(id, undefined, 100)).reverse()
}

/** The wave's one device that has been told. */
async function canary(): Promise<TestDevice> {
  await waitFor(() => expect(told(v2)).toHaveLength(1))
  return told(v2)[0]!
}

const seqs = new Map<string, number>()
async function sample(device: TestDevice, version: Known, change = {}): Promise<void> {
  const seq = (seqs.get(`${device.id}${device.seed[0]}`) ?? 0) + 1
  seqs.set(`${device.id}${device.seed[0]}`, seq)
  const session = `session-${box.stateDir.slice(-20)}`.slice(0, 64).replaceAll('/', '-')
  const batch = device.seal({
    stream: 'window',
    session,
    base: seq,
    records: [{ seq, body: windowBody(version, change) }],
  })
  await device.publish(topics.telemetry(fleet, device.id, 'window'), batch)
}

describe('a rollout on a real hub', () => {
  test('takes the canary, then the rest, by directives that go out and reports that come back', async () => {
    const id = await create()
    const first = await canary()
    await first.says('downloading', v2, undefined, v1)
    await waitFor(async () =>
      expect((await rolloutOf(id)).deployments.get(first.id)?.state).toBe('downloading'),
    )
    await first.says('committed', v2, 'ok')
    await waitFor(async () => expect((await rolloutOf(id)).waves[0]?.state).toBe('soaking'))
    await sample(first, v2)
    await tick(60_000)
    await waitFor(() => expect(told(v2)).toHaveLength(4))
    for (const device of devices.filter((device) => device !== first)) {
      await device.says('committed', v2, 'ok')
      await sample(device, v2)
    }
    await waitFor(async () => expect((await rolloutOf(id)).waves[1]?.state).toBe('soaking'))
    await tick(60_000)
    expect((await rolloutOf(id)).phase).toBe('completed')
    const kinds = (await decided(id)).map(({ kind }) => kind)
    expect(kinds).toEqual([
      ...['created', 'wave_open', 'wave_soaking', 'wave_judging', 'wave_passed'],
      ...['wave_open', 'wave_soaking', 'wave_judging', 'wave_passed', 'completed'],
    ])
    const news = (await box.hub.services.feed.after(0, 500)).filter(({ type }) => type === 'rollout.state')
    expect(news.at(-1)?.data).toMatchObject({ id, phase: 'completed', counts: { succeeded: 4 } })
  })

  test('stops by itself when the canary refuses the release; the fleet stays where it was', async () => {
    const id = await create()
    const first = await canary()
    await first.says('refused', v2, 'selftest_accuracy', v1)
    await waitFor(async () => expect((await rolloutOf(id)).phase).toBe('paused'))
    await tick(3_600_000)
    expect(told(v1)).toHaveLength(3)
    const entry = (await decided(id)).at(-1)
    expect(entry).toMatchObject({
      kind: 'paused',
      who: 'hub',
      message: expect.stringContaining('selftest_accuracy'),
    })
    expect(entry?.evidence).toMatchObject([{ name: 'success_share', state: 'fail', value: 0, n: 1 }, {}, {}])
  })

  test('is held while the canary sends nothing, and by windows of another release', async () => {
    const id = await create()
    const first = await canary()
    await first.says('committed', v2, 'ok')
    await sample(first, v1)
    await waitFor(async () => expect((await rolloutOf(id)).waves[0]?.state).toBe('soaking'))
    await tick(60_000)
    await tick(86_400_000)
    expect((await rolloutOf(id)).waves[0]?.state).toBe('held')
    expect(told(v2)).toHaveLength(1)
  })

  test('pauses on errors after the update, with the numbers', async () => {
    const id = await create()
    const first = await canary()
    await first.says('committed', v2, 'ok')
    await waitFor(async () => expect((await rolloutOf(id)).waves[0]?.state).toBe('soaking'))
    await sample(first, v2, { inferences: 20, errors: 5, readings: 25 })
    await tick()
    expect((await rolloutOf(id)).reason?.text).toBe('error rate 20 % > 2 % (1 of 1 devices)')
  })

  test('rolls back on request: everybody it has told goes back to what it ran', async () => {
    const id = await create()
    const first = await canary()
    await first.says('committed', v2, 'ok')
    await waitFor(async () => expect((await rolloutOf(id)).waves[0]?.state).toBe('soaking'))
    const verdict = await box.hub.services.rollouts.act(id, 'rollback', {
      who: 'token:ana',
      reason: 'it hums',
    })
    expect(verdict).toMatchObject({ acted: true })
    await hasDirective(first, v1)
    await first.says('committed', v1, 'ok')
    await waitFor(async () => expect((await rolloutOf(id)).phase).toBe('rolled_back'))
    expect((await rolloutOf(id)).deployments.get(first.id)?.state).toBe('rolled_back')
    const entries = await decided(id)
    expect(entries.find(({ kind }) => kind === 'rolling_back')).toMatchObject({
      who: 'token:ana',
      message: 'it hums',
    })
  })

  test('an abort takes the directive back from a device that has not installed it', async () => {
    const id = await create()
    const first = await canary()
    await box.hub.services.rollouts.act(id, 'abort', { who: 'token:ana', reason: 'wrong version' })
    await hasDirective(first, v1)
    expect(await rolloutOf(id)).toMatchObject({ phase: 'aborted', toRestore: [] })
  })

  test('leaves a goal alone that somebody has set since', async () => {
    const v3 = await listedVersion(box, '3', plainFiles(3))
    const id = await create()
    const first = await canary()
    await box.hub.services.directives.setGoal([first.id], 'default', goalOf(v3), { who: 'test' })
    await box.hub.services.rollouts.act(id, 'abort', { who: 'token:ana', reason: 'never mind' })
    await tick()
    expect((await box.hub.services.directives.goalsOf(first.id))['default']?.version).toBe('3')
  })

  test('retries a device whose link broke, with a new directive', async () => {
    const id = await create()
    const first = await canary()
    const before = first.directive().version
    await first.says('idle', v2, 'link_lost', v1)
    await waitFor(async () => expect((await rolloutOf(id)).phase).toBe('paused'))
    await box.hub.services.rollouts.act(id, 'retry', { who: 'token:ana', reason: 'link is back' })
    await box.hub.services.rollouts.act(id, 'resume', { who: 'token:ana', reason: 'link is back' })
    await waitFor(() => expect(first.directive().version).toBeGreaterThan(before))
    await first.says('committed', v2, 'ok')
    await waitFor(async () =>
      expect((await rolloutOf(id)).deployments.get(first.id)?.state).toBe('succeeded'),
    )
  })

  test('is taken up by the next hub where the last one left it', async () => {
    const id = await create()
    const first = await canary()
    await first.says('committed', v2, 'ok')
    await waitFor(async () => expect((await rolloutOf(id)).waves[0]?.state).toBe('soaking'))
    await sample(first, v2)
    const before = await rolloutOf(id)
    await box.hub.stop()
    const next = await box.again()
    await next.start()
    expect(await rolloutOf(id, next)).toEqual(before)
    await tick(60_000, next)
    const { deployments, waves } = await rolloutOf(id, next)
    expect(waves.map(({ state }) => state)).toEqual(['passed', 'open'])
    expect([...deployments.values()].filter(({ state }) => state === 'directed')).toHaveLength(3)
  })

  test('a revoked device is skipped', async () => {
    const id = await create()
    const first = await canary()
    await box.hub.services.fleet.revoke(first.id, 'token:ana')
    await waitFor(async () => expect((await rolloutOf(id)).deployments.get(first.id)?.state).toBe('skipped'))
  })
})

describe('a rollout is refused', () => {
  const refused = async (change: Partial<CreateRequest>) => {
    const verdict = await box.hub.services.rollouts.create(request(change), 'token:ana')
    return verdict.created ? 'created' : [verdict.because, verdict.mistakes[0]?.detail]
  }

  test('when there is no such version', async () => {
    expect(await refused({ version: '9' })).toEqual(['unknown-version', 'there is no gauge 9'])
  })

  test('when the publishers do not list the version', async () => {
    const { db } = box.hub.services.database
    await db.updateTable('version').set({ delisted_at: 5 }).where('version', '=', '2').execute()
    expect(await refused({})).toEqual(['not-listed', expect.stringContaining('not listed')])
  })

  test('when nobody is meant', async () => {
    expect(await refused({ selector: 'site=nowhere' })).toEqual([
      'no-targets',
      'selector "site=nowhere": no device matches',
    ])
  })

  test('when everybody who is meant runs it already', async () => {
    expect(await refused({ version: '1', selector: 'site=indoor' })).toEqual([
      'no-targets',
      expect.stringContaining('all 2 devices run 1 already'),
    ])
  })

  test('when the selector cannot be read', async () => {
    expect(await refused({ selector: 'site=' })).toEqual(['bad-selector', expect.stringContaining('site=')])
  })

  test('when a gate asks for drift and the release has no profile', async () => {
    const gates = [{ metric: 'drift_evidence' as const, max: 25 }]
    const waves = [{ name: 'all', size: { rest: true as const }, gates }]
    expect(await refused({ plan: { waves } })).toEqual([
      'no-profile',
      expect.stringContaining('no reference profile'),
    ])
  })

  test('when another one is at work on one of its devices, unless the devices are others', async () => {
    const id = await create({ selector: 'site=indoor' })
    expect(await refused({})).toEqual([
      'conflict',
      expect.stringContaining(`rollout ${id} (gauge 2) is running on`),
    ])
    expect(await refused({ selector: 'site=outdoor' })).toBe('created')
  })

  test('with all mistakes of its plan at once', async () => {
    const waves = [
      { name: 'a', size: { rest: true as const } },
      {
        name: 'a',
        size: { percent: 10 },
        gates: [
          { metric: 'p95_micros' as const, max: 5_000_000 },
          { metric: 'error_rate' as const, max: 2 },
        ],
      },
    ]
    const verdict = await box.hub.services.rollouts.create(request({ plan: { waves } }), 'token:ana')
    expect(verdict).toMatchObject({ created: false, because: 'bad-plan' })
    expect(verdict.created ? [] : verdict.mistakes.map(({ pointer }) => pointer)).toEqual([
      '#/plan/waves/0/size',
      '#/plan/waves/1/name',
      '#/plan/waves/1/gates/0',
      '#/plan/waves/1/gates/1',
    ])
  })
})

describe('over HTTP', () => {
  const api = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${box.hub.addresses.httpUrl}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${box.adminToken}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Record<string, never> }
  }

  test('a rollout is made, shown, paused, and refuses what its state does not allow', async () => {
    const made = await api('POST', '/rollouts', { model: 'gauge', version: '2', plan })
    expect(made).toMatchObject({
      status: 201,
      body: { phase: 'running', allowedActions: ['pause', 'abort', 'rollback'] },
    })
    const { id } = made.body
    const shown = await api('GET', `/rollouts/${id}`)
    expect(shown.body).toMatchObject({
      sentence: 'Running at wave 1 of 2 (canary): 0 of 1 devices updated, 1 in progress.',
      waves: [
        { name: 'canary', state: 'open', counts: { directed: 1 } },
        { name: 'rest', state: 'pending', counts: { pending: 3 } },
      ],
    })
    expect((await api('GET', `/rollouts/${id}/devices?state=pending`)).body['items']).toHaveLength(3)
    expect((await api('GET', `/rollouts/${id}/devices?limit=1`)).body).toMatchObject({
      items: [{ wave: 0, previous: { version: '1' } }],
      nextCursor: expect.any(String),
    })
    expect((await api('POST', `/rollouts/${id}/pause`, {})).status).toBe(422)
    expect(await api('POST', `/rollouts/${id}/pause`, { reason: 'lunch' })).toMatchObject({
      status: 200,
      body: { phase: 'paused' },
    })
    expect(await api('POST', `/rollouts/${id}/pause`, { reason: 'lunch' })).toMatchObject({
      status: 409,
      body: {
        type: '/problems/rollout-not-active',
        phase: 'paused',
        allowedActions: ['resume', 'abort', 'rollback'],
      },
    })
    const events = (await api('GET', `/rollouts/${id}/events`)).body['items'] as unknown as { kind: string }[]
    expect(events.map(({ kind }) => kind)).toEqual(['paused', 'wave_open', 'created'])
    expect((await api('GET', '/rollouts')).body['items']).toHaveLength(1)
    expect((await api('GET', '/overview')).body).toMatchObject({
      devices: { total: 4 },
      rollouts: { active: 1 },
      versions: [{ model: 'gauge', version: '1', devices: 4 }],
      attention: [{ severity: 'alarm', link: `/rollouts/${id}` }],
    })
  })

  test('a mistake is answered with its place', async () => {
    const unknown = await api('POST', '/rollouts', { model: 'gauge', version: '2', plan: { wave: [] } })
    expect(unknown).toMatchObject({ status: 422, body: { type: '/problems/validation' } })
    expect(
      await api('POST', '/rollouts', { model: 'gauge', version: '2', selector: 'site=nowhere' }),
    ).toMatchObject({
      status: 422,
      body: { reason: 'no_targets', errors: [{ pointer: '#/selector' }] },
    })
    expect((await api('GET', '/rollouts/none')).status).toBe(404)
    expect((await api('POST', '/rollouts/none/abort', { reason: 'x' })).status).toBe(404)
  })
})
