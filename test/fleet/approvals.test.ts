import { exitCodes } from '@godwit/hub/cli/exit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, FleetInABox, oneThenRest } from '../support/fleet-in-a-box.ts'

let box: FleetInABox
beforeAll(async () => {
  box = await FleetInABox.open()
  await Promise.all([box.addDevice(1), box.addDevice(2), box.publish('1')])
})
afterAll(() => box?.close())

type Shown = {
  id: string
  phase: string
  sentence: string
  approval: { wave: string | null; sha256: string; missing: number } | null
}
type Person = {
  run: <T>(...args: string[]) => Promise<T>
  try: FleetInABox['stage']['tryGodwit']
}

/** A user who has come in by their invitation and made a token for a command line of their own. */
async function person(name: string, ...roles: string[]): Promise<Person> {
  const { url } = box.stage.hub
  const create = ['user', 'create', name, '--role', ...roles]
  const made = await box.stage.godwit<{ invitation: { url: string } }>(...create)
  const link = new URL(made.invitation.url).hash.slice(1)
  const password = 'correct horse battery staple'
  const accepted = await ask(url, '/api/v1/session/invitation/accept', { link, password })
  const cookie = accepted.headers.getSetCookie()[0]!.split(';')[0]!
  const answer = await ask(url, '/api/v1/tokens', { name: 'laptop', roles }, { cookie })
  const { token } = (await answer.json()) as { token: string }
  const as = ['--url', url, '--token', token]
  return {
    run: (...args) => box.stage.godwit(...args, ...as),
    try: (...args) => box.stage.tryGodwit(...args, ...as),
  }
}

async function ask(url: string, path: string, body: object, headers = {}): Promise<Response> {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-godwit-csrf': '1', ...headers },
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`)
  return answer
}

const why = ['--reason', 'I have read it']
const show = (id: string) => box.stage.godwit<Shown>('rollout', 'show', id)
async function refused(
  who: Person,
  ...args: string[]
): Promise<{ code: number; error: string; message: string }> {
  const { code, stderr } = await who.try(...args)
  // What an approval would be for is said before the refusal.
  const { error } = JSON.parse(stderr.slice(stderr.indexOf('{'))) as {
    error: { code: string; message: string }
  }
  return { code, error: error.code, message: error.message }
}
const toldDevices = async (id: string) =>
  (await box.observe.rolloutDevices(id)).filter(({ state }) => state !== 'pending')

test('two people other than its creator let a rollout begin, and a third one the rest of the fleet', async () => {
  const [ana, bob, cleo] = await Promise.all([
    person('ana', 'operator', 'approver'),
    person('bob', 'approver'),
    person('cleo', 'approver'),
  ])
  const [canary, rest] = oneThenRest.waves
  const plan = {
    ...oneThenRest,
    approvals: { count: 2 },
    waves: [canary, { ...rest, approvals: { count: 1 } }],
  }
  const { id } = await ana.run<Shown>(...box.rolloutArguments('1', plan))

  const waiting = await show(id)
  expect(waiting).toMatchObject({ phase: 'awaiting_approval', approval: { wave: null, missing: 2 } })
  expect(waiting.sentence).toBe('Waits for approval: 0 of 2 given; bob or cleo could give what is missing.')

  const own = await refused(ana, 'rollout', 'approve', id, ...why)
  expect(own).toMatchObject({ code: exitCodes.auth, error: 'forbidden' })
  expect(own.message).toContain('ana created rollout')
  // The administrator's token is nobody's in particular.
  const program = await box.stage.tryGodwit('rollout', 'approve', id, ...why)
  expect(program.code).toBe(exitCodes.auth)
  expect(program.stderr).toContain('is no person')
  expect((await bob.try('rollout', 'pause', id, ...why)).code).toBe(exitCodes.auth)

  const sha256 = waiting.approval!.sha256
  expect(await bob.run('rollout', 'approve', id, ...why, '--sha256', sha256)).toMatchObject({
    approval: { missing: 1 },
  })
  expect(await bob.run('rollout', 'approve', id, ...why)).toMatchObject({ approval: { missing: 1 } })
  const other = await refused(cleo, 'rollout', 'approve', id, ...why, '--sha256', 'f'.repeat(64))
  expect(other).toMatchObject({ code: exitCodes.conflict, error: 'conflict' })
  expect(await toldDevices(id)).toEqual([])

  await cleo.run('rollout', 'approve', id, ...why)
  const held = await eventually('the canary to pass and the rest to wait', async () => {
    const now = await show(id)
    return now.approval?.wave === 'rest' || now.phase === 'paused' ? now : undefined
  })
  expect(held.approval?.wave, held.sentence).toBe('rest')
  expect(held.approval!.sha256).not.toBe(sha256)
  expect(await toldDevices(id)).toMatchObject([{ wave: 0, state: 'succeeded' }])

  await bob.run('rollout', 'approve', id, ...why)
  await box.inPhase(id, 'completed')
  await box.allRun('1')

  const audit = await box.stage.godwit<
    { action: string; subject: string; detail: { sha256: string; user: { name: string } } }[]
  >('audit', 'list')
  const said = audit.filter((entry) => entry.subject === id && entry.action === 'rollout.approve').reverse()
  expect(said.map(({ detail }) => [detail.user.name, detail.sha256])).toEqual([
    ['bob', sha256],
    ['cleo', sha256],
    ['bob', held.approval!.sha256],
  ])
})

test('one of them says no, and nobody gets the release', async () => {
  await box.publish('2')
  const dora = await person('dora', 'approver')
  const id = await box.rollout('2', { ...oneThenRest, approvals: { count: 1 } })
  expect(await dora.run('rollout', 'reject', id, '--reason', 'not before the audit')).toMatchObject({
    phase: 'aborted',
  })
  expect((await show(id)).sentence).toContain('rejected: not before the audit')
  expect((await box.observe.rolloutDevices(id)).map(({ state }) => state)).toEqual(['skipped', 'skipped'])
  expect(await box.observe.activeVersion(box.devices[0]!.id)).toBe('1')
})
