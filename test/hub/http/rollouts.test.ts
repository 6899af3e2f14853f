import { createHash } from 'node:crypto'
import type { Hub } from '@godwit/hub/wiring'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { goalOf, type Known, listedVersion, plainFiles, TestDevice } from '../mqtt/test-device.ts'
import { disable, person, type TestPerson } from '../rollout/people.ts'
import { type Box, newHub } from '../support/new-hub.ts'

let box: Box
let v1: Known
let ana: TestPerson
let bob: TestPerson
let cleo: TestPerson
let otto: TestPerson

/** Three devices that run version 1. Ana makes rollouts and may approve; bob and cleo approve; otto operates. */
async function setUp(change: Record<string, unknown> = {}): Promise<void> {
  box = await newHub(change)
  await box.hub.start()
  v1 = await listedVersion(box, '1', plainFiles(1))
  await listedVersion(box, '2', plainFiles(2))
  for (let i = 0; i < 3; i++) await TestDevice.enrolled(box, `d${i}`, 20 + i)
  await box.hub.services.directives.setGoal(['d0', 'd1', 'd2'], 'default', goalOf(v1), { who: 'test' })
  ana = await person(box, 'ana', ['operator', 'approver'])
  bob = await person(box, 'bob', ['approver'])
  cleo = await person(box, 'cleo', ['approver'])
  otto = await person(box, 'otto', ['operator'])
}
beforeEach(() => setUp())
afterEach(() => box.close())

type Json = Record<string, unknown> & { id: string; phase: string; revision: number; approval: Json | null }

async function ask(
  method: 'GET' | 'POST',
  path: string,
  {
    as = ana.token,
    body,
    headers = {},
  }: { as?: string; body?: unknown; headers?: Record<string, string> } = {},
  hub: Hub = box.hub,
) {
  const {
    statusCode,
    headers: answered,
    body: text,
  } = await hub.http.inject({
    ...{ method, url: `/api/v1${path}`, headers: { authorization: `Bearer ${as}`, ...headers } },
    ...(body !== undefined && { payload: body as object }),
  })
  return { status: statusCode, headers: answered, text, body: JSON.parse(text) as Json }
}

const quick = { soakMs: 60_000, minSample: 10, deadlineMs: 3_600_000 }
const plan = {
  approvals: { count: 2 },
  waves: [
    { name: 'canary', size: { count: 1 }, ...quick },
    { name: 'rest', size: { rest: true }, ...quick },
  ],
}
const request = { model: 'gauge', version: '2', plan }

async function made(body: object = request, as = ana.token): Promise<Json> {
  const answer = await ask('POST', '/rollouts', { as, body })
  expect(answer.status, answer.text).toBe(201)
  return answer.body
}
const look = async (id: string, as = ana.token) => (await ask('GET', `/rollouts/${id}`, { as })).body
async function says(who: TestPerson | { token: string }, deed: string, id: string, sha256?: string) {
  const hash = sha256 ?? ((await look(id)).approval?.['sha256'] as string | undefined)
  const body = { reason: 'looked at it', ...(hash !== undefined && { sha256: hash }) }
  return ask('POST', `/rollouts/${id}/${deed}`, { as: who.token, body })
}
const audited = async (subject: string) =>
  (await box.hub.services.audit.before(undefined, 500)).filter((entry) => entry.subject === subject).reverse()
/** The person comes first, then which token of theirs. */
const by = ({ name }: TestPerson) => expect.stringMatching(new RegExp(`^${name}, laptop `))
const kinds = async (id: string) =>
  ((await ask('GET', `/rollouts/${id}/events`)).body['items'] as { kind: string }[]).map(({ kind }) => kind)

describe('a rollout that needs two approvals', () => {
  test('waits, says for whom, and starts when two others have approved', async () => {
    const { id, approval, phase } = await made()
    expect(phase).toBe('awaiting_approval')
    expect(approval).toMatchObject({ wave: null, needed: 2, missing: 2, allowedDeeds: [] })
    expect((await look(id))['sentence']).toBe(
      'Waits for approval: 0 of 2 given; bob or cleo could give what is missing.',
    )
    expect(await says(bob, 'approve', id)).toMatchObject({ status: 200, body: { approval: { missing: 1 } } })
    expect((await says(cleo, 'approve', id)).body).toMatchObject({
      phase: 'running',
      approval: null,
      approvals: [{ user: { name: 'bob' } }, { user: { name: 'cleo' }, reason: 'looked at it' }],
      waves: [{ state: 'open' }, { state: 'pending' }],
    })
  })

  test('tells each who asks what they may do: not the creator, not a second time, not an operator', async () => {
    const { id } = await made()
    const deeds = async (as: string) => (await look(id, as)).approval!['allowedDeeds']
    expect(await deeds(ana.token)).toEqual([])
    expect(await deeds(otto.token)).toEqual([])
    expect(await deeds(box.adminToken)).toEqual([])
    expect(await deeds(bob.token)).toEqual(['approve', 'reject'])
    await says(bob, 'approve', id)
    expect(await deeds(bob.token)).toEqual(['reject', 'withdraw'])
  })

  test('refuses its creator', async () => {
    const { id } = await made()
    expect(await says(ana, 'approve', id)).toMatchObject({ status: 403, body: { reason: 'creator' } })
  })

  test('refuses a token that no person owns, an administrator’s too', async () => {
    const { id } = await made()
    const refused = await says({ token: box.adminToken }, 'approve', id)
    expect(refused).toMatchObject({ status: 403, body: { reason: 'needs_person' } })
  })

  test('refuses a hash that is not its own, and the lack of one', async () => {
    const { id } = await made()
    expect(await says(bob, 'approve', id, 'a'.repeat(64))).toMatchObject({
      status: 409,
      body: { type: '/problems/conflict', reason: 'other_plan' },
    })
    const none = await ask('POST', `/rollouts/${id}/approve`, { as: bob.token, body: { reason: 'x' } })
    expect(none.status).toBe(422)
  })

  test('counts the same person once', async () => {
    const { id } = await made()
    await says(bob, 'approve', id)
    expect(await says(bob, 'approve', id)).toMatchObject({ status: 200, body: { approval: { missing: 1 } } })
    expect(await kinds(id)).toEqual(['approved', 'created'])
  })

  test('ends when it is rejected, and refuses approvals from then on', async () => {
    const { id } = await made()
    expect((await says(bob, 'reject', id)).body).toMatchObject({
      phase: 'aborted',
      reason: { who: by(bob), text: 'rejected: looked at it' },
    })
    expect(await says(cleo, 'approve', id, 'a'.repeat(64))).toMatchObject({
      status: 409,
      body: { type: '/problems/rollout-not-active', phase: 'aborted' },
    })
  })

  test('keeps every word in the timeline and in the audit, with the hash and the person', async () => {
    const { id, approval } = await made()
    const sha256 = approval!['sha256']
    for (const [who, deed] of [
      [bob, 'approve'],
      [bob, 'withdraw'],
      [cleo, 'reject'],
    ] as const)
      expect((await says(who, deed, id)).status).toBe(200)
    expect(await kinds(id)).toEqual(['aborted', 'rejected', 'withdrawn', 'approved', 'created'])
    const words = (await audited(id)).filter(({ action }) => /approve|reject|withdraw/.test(action))
    expect(words).toMatchObject([
      { who: by(bob), action: 'rollout.approve', detail: { sha256, user: { id: bob.id } } },
      { who: by(bob), action: 'rollout.withdraw', detail: { sha256 } },
      { who: by(cleo), action: 'rollout.reject', detail: { sha256 } },
    ])
    expect(await box.hub.services.audit.verifyChain()).toBeUndefined()
  })

  test('is among the things that need somebody, and live views hear of each approval', async () => {
    const { id } = await made()
    await says(bob, 'approve', id)
    expect((await ask('GET', '/overview')).body).toMatchObject({
      attention: [
        { severity: 'warning', link: `/rollouts/${id}`, text: expect.stringContaining('1 of 2 given') },
      ],
    })
    const news = (await box.hub.services.feed.after(0, 500)).filter(({ type }) => type === 'rollout.state')
    expect(news.map(({ data }) => data['approvals'])).toEqual([0, 1])
  })

  test('what was approved survives a restart of the hub', async () => {
    const { id } = await made()
    await says(bob, 'approve', id)
    const before = await look(id)
    await box.hub.stop()
    const next = await box.again()
    const stored = await next.services.rollouts.get(id)
    expect(stored!.rollout).toMatchObject({ phase: 'awaiting_approval', creatorId: ana.id })
    expect(stored!.rollout.approvals).toMatchObject([
      { person: { id: bob.id, name: 'bob' }, sha256: before.approval!['sha256'] },
    ])
  })

  test('serves the bytes that the hash is of', async () => {
    const { id, approval } = await made()
    const { text, headers, body } = await ask('GET', `/rollouts/${id}/approval`)
    const hash = createHash('sha256').update(text)
    expect(headers['repr-digest']).toBe(`sha-256=:${hash.copy().digest('base64')}:`)
    expect(hash.digest('hex')).toBe(approval!['sha256'])
    expect(body).toMatchObject({ rollout: id, slot: 'default', goal: { version: '2' } })
    expect((await ask('GET', `/rollouts/${id}/approval?wave=none`)).status).toBe(404)
  })

  test('a draft asks for nothing until it is started', async () => {
    const { id, approval } = await made({ ...request, draft: true })
    expect(approval).toBeNull()
    expect(await says(bob, 'approve', id, 'a'.repeat(64))).toMatchObject({ status: 409 })
    const started = await ask('POST', `/rollouts/${id}/start`, { body: { reason: 'now' } })
    expect(started.body).toMatchObject({ phase: 'awaiting_approval', approval: { missing: 2 } })
  })

  test('an approver who is disabled before the scheduled start counts no longer', async () => {
    const startAt = box.time.now + 3_600_000
    const { id } = await made({ ...request, plan: { ...plan, startAt } })
    await says(bob, 'approve', id)
    expect((await says(cleo, 'approve', id)).body.phase).toBe('scheduled')
    await disable(box, cleo)
    box.time.now = startAt
    await box.hub.services.rollouts.tick()
    expect(await look(id)).toMatchObject({ phase: 'awaiting_approval', approval: { missing: 1 } })
    expect((await look(id))['approvals']).toHaveLength(2)
  })
})

describe('the minimum of the hub', () => {
  test('stands in every plan that asks for fewer', async () => {
    await box.close()
    await setUp({ rollouts: { approvals: 1 } })
    const plain = await made({ ...request, plan: { waves: plan.waves } })
    expect(plain).toMatchObject({ phase: 'awaiting_approval', plan: { approvals: { count: 1 } } })
    await says(bob, 'reject', plain.id)
    expect(await made()).toMatchObject({ plan: { approvals: { count: 2 } } })
  })
})

describe('the timeline', () => {
  test('comes newest first, in pages that neither repeat nor skip', async () => {
    const { id } = await made({ ...request, plan: { waves: plan.waves } })
    for (let i = 0; i < 5; i++) {
      await ask('POST', `/rollouts/${id}/pause`, { body: { reason: `pause ${i}` } })
      await ask('POST', `/rollouts/${id}/resume`, { body: { reason: `resume ${i}` } })
    }
    const whole = (await ask('GET', `/rollouts/${id}/events`)).body['items'] as { id: number }[]
    expect(whole).toHaveLength(12)
    const read: { id: number }[] = []
    let cursor: string | undefined
    do {
      const page = await ask('GET', `/rollouts/${id}/events?limit=5${cursor ? `&cursor=${cursor}` : ''}`)
      read.push(...(page.body['items'] as { id: number }[]))
      cursor = page.body['nextCursor'] as string | undefined
      // What is added meanwhile is newer than all of it.
      if (cursor)
        await ask('POST', `/rollouts/${id}/${read.length === 5 ? 'pause' : 'resume'}`, {
          body: { reason: 'x' },
        })
    } while (cursor)
    expect(read).toEqual(whole)
    expect(read.map((entry) => entry.id)).toEqual([...read.map((entry) => entry.id)].sort((a, b) => b - a))
    const other = Buffer.from('not a number').toString('base64url')
    expect((await ask('GET', `/rollouts/${id}/events?cursor=${other}`)).status).toBe(422)
  })
})

describe('an action on what was looked at (If-Match)', () => {
  const pause = (id: string, tag?: string) =>
    ask('POST', `/rollouts/${id}/pause`, {
      body: { reason: 'x' },
      headers: tag === undefined ? {} : { 'if-match': tag },
    })

  test('is refused when the rollout has changed since, and done when it has not', async () => {
    const { id } = await made({ ...request, plan: { waves: plan.waves } })
    const { headers, body } = await ask('GET', `/rollouts/${id}`)
    expect(headers['etag']).toBe(`"${body.revision}"`)
    const stale = await pause(id, `"${body.revision - 1}"`)
    expect(stale).toMatchObject({ status: 412, body: { type: '/problems/precondition-failed' } })
    expect((await look(id)).phase).toBe('running')
    const done = await pause(id, `"1", "${body.revision}"`)
    expect(done).toMatchObject({ status: 200, body: { phase: 'paused' } })
    expect(done.headers['etag']).toBe(`"${done.body.revision}"`)
  })

  test('a weak tag matches nothing, a star everything, and none at all is allowed', async () => {
    const { id } = await made({ ...request, plan: { waves: plan.waves } })
    expect((await pause(id, `W/"${(await look(id)).revision}"`)).status).toBe(412)
    expect((await pause(id, '*')).status).toBe(200)
    const resumed = await ask('POST', `/rollouts/${id}/resume`, { body: { reason: 'x' } })
    expect(resumed.status).toBe(200)
  })

  test('binds an approval too', async () => {
    const { id, approval, revision } = await made()
    await says(cleo, 'approve', id)
    const body = { reason: 'x', sha256: approval!['sha256'] }
    const stale = { as: bob.token, body, headers: { 'if-match': `"${revision}"` } }
    expect((await ask('POST', `/rollouts/${id}/approve`, stale)).status).toBe(412)
  })
})

describe('a request with an Idempotency-Key', () => {
  const day = 24 * 60 * 60_000
  const create = (key: string, body: object = request, as = ana.token) =>
    ask('POST', '/rollouts', { as, body, headers: { 'idempotency-key': key } })
  const count = async () => ((await ask('GET', '/rollouts')).body['items'] as unknown[]).length

  test('sent again makes no second rollout and gets the same answer, whatever has happened since', async () => {
    const first = await create('8e03978e-40d5-43dd-bc93-6894a57f9324')
    await says(bob, 'approve', first.body.id)
    const again = await create('"8e03978e-40d5-43dd-bc93-6894a57f9324"')
    expect([again.status, again.text]).toEqual([201, first.text])
    expect(again.headers).toMatchObject({ location: first.headers['location'], etag: first.headers['etag'] })
    expect(await count()).toBe(1)
  })

  test('sent again at the same moment makes one rollout', async () => {
    const answers = await Promise.all([create('k-1'), create('k-1'), create('k-1')])
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
    expect(await count()).toBe(1)
  })

  test('with another body is refused; the order of members is no other body', async () => {
    await create('k-1')
    expect(await create('k-1', { ...request, slot: 'other' })).toMatchObject({
      status: 422,
      body: { reason: 'other_request' },
    })
    const turned = Object.fromEntries(Object.entries(request).reverse())
    expect((await create('k-1', turned)).status).toBe(201)
    expect(await count()).toBe(1)
  })

  test('is its sender’s own: another sender’s same key is another request', async () => {
    const first = await create('k-1')
    const other = await create('k-1', { ...request, slot: 'other' }, otto.token)
    expect([first.status, other.status]).toEqual([201, 201])
  })

  test('that was refused is looked at anew', async () => {
    const first = await create('k-1')
    expect((await create('k-2')).status).toBe(409)
    await ask('POST', `/rollouts/${first.body.id}/abort`, { body: { reason: 'x' } })
    expect((await create('k-2')).status).toBe(201)
  })

  test('is remembered for a day', async () => {
    const first = await create('k-1')
    await ask('POST', `/rollouts/${first.body.id}/abort`, { body: { reason: 'x' } })
    box.time.now += day - 1
    expect((await create('k-1')).body.id).toBe(first.body.id)
    box.time.now += 1
    expect((await create('k-1')).body.id).not.toBe(first.body.id)
  })

  test('answered after a crash that kept the answer from being stored: the rollout as it is now', async () => {
    const first = await create('k-1')
    await box.hub.services.database.db.updateTable('idempotency_key').set({ answer_json: null }).execute()
    const again = await create('k-1')
    expect([again.status, again.body.id]).toEqual([201, first.body.id])
    expect(await count()).toBe(1)
  })

  test('that cannot be read is refused', async () => {
    for (const key of ['', ' ', '"open', 'ä', 'x'.repeat(300)])
      expect((await create(key)).status, JSON.stringify(key)).toBe(422)
  })
})

describe('install windows', () => {
  const nights = ['Mon-Fri 22:00-05:00']

  test('of a plan stand in the signed directives', async () => {
    const installWindows = nights
    await made({ ...request, plan: { waves: plan.waves, installWindows } })
    await waitFor(async () => {
      const goals = await Promise.all(['d0', 'd1', 'd2'].map((id) => box.hub.services.directives.goalsOf(id)))
      expect(goals.map((goal) => goal['default']?.installWindows).filter(Boolean)).toEqual([nights])
    })
  })

  test('that nobody can read are refused with their place', async () => {
    const answer = await ask('POST', '/rollouts', {
      body: { ...request, plan: { installWindows: ['22:00-05:00', 'Mo 22-5'] } },
    })
    expect(answer.status).toBe(422)
    expect(answer.body['errors']).toMatchObject([{ pointer: '#/plan/installWindows/1' }])
  })
})

test('where approvals are asked for, no operator sets the goal of a device alone', async () => {
  await box.close()
  await setUp({ rollouts: { approvals: 2 } })
  const goal = (token: string) =>
    box.hub.http.inject({
      method: 'PUT',
      url: '/api/v1/devices/d0/goals/default',
      headers: { authorization: `Bearer ${token}` },
      payload: { model: 'gauge', version: '2' },
    })
  const refused = await goal(otto.token)
  expect(refused.statusCode).toBe(403)
  expect(refused.json()).toMatchObject({ reason: 'approvals_needed' })
  expect((await goal(box.adminToken)).statusCode).toBe(200)
})
