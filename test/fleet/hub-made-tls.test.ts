import { X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { connect } from 'node:tls'
import { pathsIn } from '@godwit/agent/control/paths'
import { Program, runCommand } from '@godwit/sample-sensor-fleet/demo/processes'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/fleet-in-a-box.ts'

const { resolve } = createRequire(import.meta.url)
const godwitBin = join(dirname(resolve('@godwit/hub/package.json')), 'bin', 'godwit.mjs')
const agentBin = join(dirname(resolve('@godwit/agent/package.json')), 'bin', 'godwit-agent.mjs')

type Device = { id: string; status: string; fingerprint: string; labels: Record<string, string> }
type JoinConfig = { hubUrl: string; rootSha256: string; caSha256: string }

/** One story, in order: a fleet of real processes over mutual TLS, in which nobody ever made a certificate by hand. */
let directory: string
let env: NodeJS.ProcessEnv
let hub: Program
let mqttUrl: string
let joinConfig: JoinConfig
const agents: Record<string, Program> = {}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-tls-story-'))
  env = { GODWIT_CONFIG_DIR: join(directory, 'cli') }
  writeFileSync(join(directory, 'passphrase'), 'correct horse battery staple', { mode: 0o600 })
  const publisher = ['--keys', join(directory, 'keys'), '--passphrase-file', join(directory, 'passphrase')]
  await godwit('hub', 'init', '--fleet', 'plant', '--state', join(directory, 'hub'), ...publisher)
  writeFileSync(
    join(directory, 'hub.yaml'),
    JSON.stringify({
      fleet: 'plant',
      stateDir: join(directory, 'hub'),
      http: { port: 0 },
      mqtt: { port: 0 },
      tls: { mode: 'hub', clientCertificates: 'required' },
    }),
  )
  hub = new Program('hub', [godwitBin, 'hub', 'run', '--config', join(directory, 'hub.yaml'), '--json'], {
    log: join(directory, 'hub.log'),
    env,
  })
  const line = await hub.nextLine()
  if (line === undefined) throw new Error(`the hub did not start: ${hub.lastWords}`)
  const ready = JSON.parse(line) as { http: string; mqtt: string }
  mqttUrl = ready.mqtt
  const caFile = join(directory, 'ca.pem')
  await godwit('hub', 'ca', 'export', '--state', join(directory, 'hub'), '--out', caFile)
  // A person's own tools are told whom to believe as Node's are.
  Object.assign(env, { GODWIT_URL: ready.http, NODE_EXTRA_CA_CERTS: caFile })
  joinConfig = await godwit<JoinConfig>('device', 'join-config')
})
afterAll(async () => {
  await Promise.all(Object.values(agents).map((agent) => agent.stop()))
  await hub?.stop()
  rmSync(directory, { recursive: true, force: true })
})

async function printed<T>(args: string[]): Promise<T> {
  const { code, stdout, stderr } = await runCommand(args, env)
  if (code !== 0) throw new Error(`${args.slice(1).join(' ')} ended with ${code}\n${stderr}`)
  return JSON.parse(stdout) as T
}
const godwit = <T>(...args: string[]) => printed<T>([godwitBin, ...args, '--json'])
const stateOf = (name: string) => join(directory, name)
const onDevice = <T>(name: string, verb: string) => printed<T>([agentBin, verb, '--state', stateOf(name)])

/** The agent of a device, as systemd would run it. No file but its configuration is on the device. */
function powerUp(name: string, join: object): void {
  mkdirSync(stateOf(name), { recursive: true })
  const config = `${stateOf(name)}.yaml`
  const slots = { default: { source: { kind: 'replay', path: '/dev/null' } } }
  const link = { backoffMsMin: 100, backoffMsMax: 1_000 }
  writeFileSync(config, JSON.stringify({ stateDir: stateOf(name), join, slots, link }))
  agents[name] = new Program(name, [agentBin, 'run', '--config', config], {
    log: `${stateOf(name)}.log`,
    // What this machine believes besides is not what the device goes by.
    env: { NODE_EXTRA_CA_CERTS: '' },
  })
}

const device = (id: string) => godwit<Device>('device', 'show', id)
const isOnline = (id: string) =>
  eventually(`${id} to be online`, async () => {
    const all = await godwit<Device[]>('device', 'list')
    return all.find((one) => one.id === id && one.status === 'online')
  })
const certificateOf = (name: string) =>
  new X509Certificate(readFileSync(pathsIn(stateOf(name)).clientCertificate))

test('a device that an operator lets in, after comparing the fingerprint at both ends', async () => {
  powerUp('odd', { ...joinConfig, deviceId: 'odd' })
  const waiting = await eventually('a device to wait', async () => {
    const [first] = await godwit<{ fingerprint: string; wantedId: string }[]>('device', 'pending')
    return first
  })
  const own = await onDevice<{ fingerprint: string }>('odd', 'identity')
  expect(waiting).toMatchObject({ fingerprint: own.fingerprint, wantedId: 'odd' })
  await godwit('device', 'approve', own.fingerprint, '--name', 'odd-1', '--label', 'line=3')
  expect(await isOnline('odd-1')).toMatchObject({ labels: { line: '3' } })
})

test('a device from a factory, which read its public key and gave it no secret', async () => {
  mkdirSync(stateOf('cam-7'), { recursive: true })
  const { publicKey } = await onDevice<{ publicKey: string }>('cam-7', 'identity')
  writeFileSync(join(directory, 'lot.csv'), `deviceId,publicKey,lot\ncam-7,${publicKey},26-11\n`)
  await godwit('device', 'register', '--file', join(directory, 'lot.csv'))
  powerUp('cam-7', joinConfig)
  expect(await isOnline('cam-7')).toMatchObject({ labels: { lot: '26-11' } })
})

test('a device with a join token and nothing else', async () => {
  const { token } = await godwit<{ token: string }>('device', 'add', 'by-token')
  powerUp('by-token', { token })
  await isOnline('by-token')
})

test('each of them has made a key for TLS and shows a certificate by the hub; who has none is not heard', async () => {
  const ca = readFileSync(join(directory, 'ca.pem'))
  for (const [name, id] of Object.entries({ odd: 'odd-1', 'cam-7': 'cam-7', 'by-token': 'by-token' })) {
    const certificate = certificateOf(name)
    expect(certificate.subject).toBe(`CN=${id}`)
    expect(certificate.verify(new X509Certificate(ca).publicKey)).toBe(true)
  }
  const { hostname, port } = new URL(mqttUrl)
  const ended = await new Promise<string>((settle) => {
    const socket = connect({ host: hostname, port: Number(port), ca })
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message))
    socket.once('close', () => settle('closed'))
    socket.resume()
  })
  expect(ended).toMatch(/CERTIFICATE_REQUIRED|ECONNRESET|closed/)
})

test('a running device that is asked for another key takes it, with another certificate', async () => {
  const [before, serial] = [await device('cam-7'), certificateOf('cam-7').serialNumber]
  await onDevice('cam-7', 'rotate-key')
  await eventually('cam-7 to be back with another key', async () => {
    const now = await device('cam-7')
    return now.fingerprint !== before.fingerprint && now.status === 'online'
  })
  await eventually(
    'cam-7 to have another certificate',
    async () => certificateOf('cam-7').serialNumber !== serial,
  )
})

test('a device that is revoked is put out at once, whatever certificate it holds', async () => {
  await godwit('device', 'revoke', 'odd-1', '--yes')
  await eventually('odd-1 to be out', async () => (await device('odd-1')).status !== 'online')
  expect(certificateOf('odd').validToDate.getTime()).toBeGreaterThan(Date.now())
  expect((await device('cam-7')).status).toBe('online')
})
