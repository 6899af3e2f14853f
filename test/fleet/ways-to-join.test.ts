import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { agentConfig } from '@godwit/agent/config'
import { deviceKey, publicKeyHex } from '@godwit/agent/control/identity'
import { pathsIn } from '@godwit/agent/control/paths'
import { askForRotation } from '@godwit/agent/control/rotate-key'
import { rootedSysfs } from '@godwit/agent/energy/sysfs'
import { startAgent } from '@godwit/agent/wiring'
import { keyFingerprint } from '@godwit/protocol/messages/enrolment'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type Box, newHub } from '../hub/support/new-hub.ts'
import { waitFor } from '../support/wait-for.ts'

let box: Box
let directory: string
let rootSha256: string
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  box.time.now = Date.now()
  directory = mkdtempSync(join(tmpdir(), 'godwit-join-'))
  rootSha256 = sha256Hex(await box.hub.services.repository.firstRoot())
})
afterEach(async () => {
  await box.close()
  rmSync(directory, { recursive: true, force: true })
})

/** A whole agent with a runner that runs no model; it is given no secret. */
function arrives(name: string, change: object = {}) {
  const leaving = new AbortController()
  const said: Record<string, unknown>[] = []
  const say = (fields: object) => void said.push(fields as Record<string, unknown>)
  const agent = startAgent(
    agentConfig(
      {
        stateDir: name,
        join: { hubUrl: box.hub.addresses.httpUrl, rootSha256, deviceId: name, ...change },
        slots: { default: { source: { kind: 'replay', path: '/dev/null' } } },
        link: { backoffMsMin: 50, backoffMsMax: 100 },
      },
      directory,
    ),
    {
      log: { debug: say, info: say, warn: say, error: say },
      clock: { wallMs: () => box.time.now, monotonicMs: () => performance.now() },
      random: () => 0,
      sysfs: rootedSysfs(),
      // The hub says half a minute; nobody waits for that here.
      fetch: impatient,
      agentVersion: '0.0.0',
      builtAtMs: box.time.now - 86_400_000,
      runnerScript: fileURLToPath(new URL('../agent/control/support/fake-runner.mjs', import.meta.url)),
    },
    leaving.signal,
  )
  agent.catch(() => {})
  onTestFinished(async () => {
    leaving.abort()
    await agent.then((running) => running.stop()).catch(() => {})
  })
  return { agent, said, leaving }
}

const impatient: typeof fetch = async (...request) => {
  const answer = await fetch(...request)
  if (answer.status !== 202) return answer
  return new Response(JSON.stringify({ ...((await answer.json()) as object), retryAfterMs: 100 }), {
    status: 202,
  })
}
const ask = (method: 'GET' | 'POST', url: string, payload?: object) =>
  box.hub.http.inject({
    method,
    url: `/api/v1${url}`,
    headers: { authorization: `Bearer ${box.adminToken}` },
    ...(payload && { payload }),
  })
const isOnline = (id: string) =>
  waitFor(async () => expect(await box.hub.services.fleet.device(id)).toMatchObject({ status: 'online' }))

test('a device that nobody knows waits, shows its fingerprint, and works once an operator lets it in', async () => {
  const { said } = arrives('cam')
  await waitFor(() => expect(said.some(({ fingerprint }) => fingerprint !== undefined)).toBe(true))
  const [waiting] = (await ask('GET', '/pending-devices')).json().items
  expect(said.find(({ fingerprint }) => fingerprint)).toMatchObject({ fingerprint: waiting.fingerprint })
  expect(waiting.fingerprint).toBe(keyFingerprint(publicKeyHex(deviceKey(pathsIn(join(directory, 'cam'))))))
  await ask('POST', `/pending-devices/${waiting.fingerprint.replaceAll(' ', '')}/approve`, {
    labels: { line: '3' },
  })
  await isOnline('cam')
  expect(await box.hub.services.fleet.device('cam')).toMatchObject({ labels: { line: '3' } })
})

test('a device from the factory joins by its registered key, with nobody there', async () => {
  const publicKey = publicKeyHex(deviceKey(pathsIn(join(directory, 'cam-7'))))
  await ask('POST', '/registered-keys', {
    keys: [{ publicKey, deviceId: 'cam-7', labels: { lot: '26-11' } }],
  })
  arrives('cam-7')
  await isOnline('cam-7')
})

test('a device that was told of another root tells the hub its key and nothing more', async () => {
  const publicKey = publicKeyHex(deviceKey(pathsIn(join(directory, 'cam'))))
  await ask('POST', '/registered-keys', { keys: [{ publicKey, deviceId: 'cam' }] })
  const { agent } = arrives('cam', { rootSha256: '0'.repeat(64) })
  await expect(agent).rejects.toMatchObject({ code: 'enrolment-root-wrong' })
})

test('a running agent that is asked for another key takes it, and comes back by itself', async () => {
  const paths = pathsIn(join(directory, 'cam'))
  const publicKey = publicKeyHex(deviceKey(paths))
  await ask('POST', '/registered-keys', { keys: [{ publicKey, deviceId: 'cam' }] })
  arrives('cam')
  await isOnline('cam')
  const { connection } = (await box.hub.services.fleet.device('cam'))!
  askForRotation(paths)
  await waitFor(async () => {
    const device = (await box.hub.services.fleet.device('cam'))!
    expect(device.publicKey).not.toBe(publicKey)
    expect(device.connection).toBeGreaterThan(connection)
    expect(device.status).toBe('online')
  })
  expect(publicKeyHex(deviceKey(paths))).toBe((await box.hub.services.fleet.device('cam'))!.publicKey)
})
