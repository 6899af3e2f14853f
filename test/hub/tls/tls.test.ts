import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { fetchOver, tlsMaterial } from '@godwit/agent/control/link/tls'
import { loadConfig } from '@godwit/hub/config'
import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { sealKeyRotation } from '@godwit/protocol/messages/key-rotation'
import { topics } from '@godwit/protocol/topics'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { fleet, TestDevice } from '../mqtt/test-device.ts'
import { type Box, joinRequest, newHub, seedOf } from '../support/new-hub.ts'
import { scratch } from '../support/scratch.ts'
import { Authority, hasOpenssl, type Pair } from './authority.ts'

let plant: Authority
let certFile: string
let keyFile: string
let directory: string
beforeEach(() => {
  if (!hasOpenssl) return
  directory = scratch()
  plant = new Authority(directory)
  certFile = join(directory, 'hub.pem')
  keyFile = join(directory, 'hub.key')
  install(plant.issue('hub-1', 'serverAuth'))
})

/** Puts a certificate where the hub looks for its own. */
function install(pair: Pair): void {
  copyFileSync(pair.certFile, certFile)
  copyFileSync(pair.keyFile, keyFile)
}

let box: Box | undefined
const devices: TestDevice[] = []
afterEach(async () => {
  for (const device of devices.splice(0)) await device.end()
  await box?.close()
  box = undefined
})

async function tlsHub(clientCertificates: 'off' | 'optional' | 'required' = 'off'): Promise<Box> {
  const caFile = clientCertificates === 'off' ? {} : { caFile: plant.caFile }
  box = await newHub({ tls: { mode: 'files', certFile, keyFile, ...caFile, clientCertificates } })
  await box.hub.start()
  return box
}

async function enrolled(id: string, byte: number): Promise<TestDevice> {
  const device = await TestDevice.enrolled(box!, id, byte)
  devices.push(device)
  return device
}

const trusting = () => ({ ca: readFileSync(plant.caFile) })
const showing = (pair: Pair) => ({
  ...trusting(),
  cert: readFileSync(pair.certFile),
  key: readFileSync(pair.keyFile),
})
/** The two ways in, by the same certificate. */
const ways = {
  mqtts: () => box!.hub.addresses.mqttUrl,
  wss: () => `${box!.hub.addresses.httpUrl.replace('https', 'wss')}/mqtt`,
}
const deviceFetch = (pair?: Pair) => fetchOver(() => tlsMaterial({ caFile: plant.caFile, ...pair }), fetch)

/** The common name of the certificate that a new connection is shown. */
async function shown(port: number): Promise<string> {
  const socket = await handshake(port)
  const name = String(socket.getPeerCertificate().subject.CN)
  socket.destroy()
  return name
}

function handshake(port: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ...trusting() }, () => resolve(socket))
    socket.once('error', reject)
  })
}

/** The device's own, by the key that it enrolled with. */
function httpHeaders(now: number): Record<string, string> {
  const claim = { fleet, deviceId: 'cam', audience: 'http', issuedAt: now, expiresAt: now + 60_000 }
  return { authorization: `Bearer ${mintDeviceToken(claim, seedOf(11))}`, 'x-godwit-device': 'cam' }
}

const portOf = (url: string) => Number(new URL(url).port)

describe.skipIf(!hasOpenssl)('a hub with a certificate', () => {
  test('speaks TLS alone, to devices and browsers, and says so in its addresses', async () => {
    const { hub } = await tlsHub()
    const { httpUrl, mqttUrl } = hub.addresses
    expect([httpUrl, mqttUrl]).toEqual([
      expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/),
      expect.stringMatching(/^mqtts:\/\/127\.0\.0\.1:\d+$/),
    ])
    const device = await enrolled('cam', 11)
    for (const way of [ways.mqtts, ways.wss]) {
      await device.connect(trusting(), way())
      await device.publish(topics.state(fleet, 'cam'), device.state('online', 1))
      await device.end()
    }
    await expect(device.connect({}, mqttUrl.replace('mqtts', 'mqtt'))).rejects.toThrow()
    await expect(fetch(`${httpUrl.replace('https', 'http')}/livez`)).rejects.toThrow()
    expect((await deviceFetch()(`${httpUrl}/livez`)).status).toBe(200)
  })

  test('is not believed by a client that does not know its authority', async () => {
    await tlsHub()
    const device = await enrolled('cam', 11)
    const stranger = new Authority(directory, 'stranger')
    for (const way of [ways.mqtts, ways.wss]) {
      await expect(device.connect({}, way())).rejects.toThrow(/certificate|issuer/)
      await expect(device.connect({ ca: readFileSync(stranger.caFile) }, way())).rejects.toThrow(
        /certificate|issuer/,
      )
    }
    await expect(fetch(`${box!.hub.addresses.httpUrl}/livez`)).rejects.toThrow()
    await expect(
      fetchOver(() => tlsMaterial({ caFile: stranger.caFile }), fetch)(`${box!.hub.addresses.httpUrl}/livez`),
    ).rejects.toThrow(/certificate|issuer/)
  })

  test('makes join tokens with its https address', async () => {
    const { hub } = await tlsHub()
    const { token } = await hub.services.enrolment.createJoinToken(
      { labels: {}, uses: 1, expiresInMs: 60_000 },
      'test',
    )
    expect(parseJoinToken(token)?.url).toBe(hub.addresses.httpUrl)
    const answer = await deviceFetch()(`${hub.addresses.httpUrl}/api/v1/enrol`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(joinRequest(parseJoinToken(token)!.secret, seedOf(9), 'mote')),
    })
    expect(await answer.json()).toMatchObject({ deviceId: 'mote', mqttUrl: hub.addresses.mqttUrl })
  })

  test('marks the session cookie for TLS alone', async () => {
    const { hub } = await tlsHub()
    const { secret } = await hub.services.access.createLoginLink(['admin'], 'test')
    const answer = await hub.http.inject(`/login?link=${secret}`)
    expect(answer.headers['set-cookie']).toMatch(
      /^__Host-godwit_session=\w+; .*Path=\/; HttpOnly; Secure; SameSite=Strict/,
    )
  })

  test('stops although somebody began a handshake and said no more', async () => {
    const { hub } = await tlsHub()
    const silent = [hub.addresses.mqttUrl, hub.addresses.httpUrl].map((url) =>
      connectTcp(portOf(url), '127.0.0.1'),
    )
    for (const socket of silent) {
      onTestFinished(() => void socket.destroy())
      socket.on('error', () => {})
      await new Promise((resolve) => socket.once('connect', resolve))
    }
    await hub.stop()
  })
})

describe.skipIf(!hasOpenssl)('a new certificate', () => {
  test('is taken for new connections, while the open ones go on', async () => {
    const { hub } = await tlsHub()
    const device = await (await enrolled('cam', 11)).connect(trusting())
    const ports = [portOf(hub.addresses.mqttUrl), portOf(hub.addresses.httpUrl)]
    expect(await Promise.all(ports.map(shown))).toEqual(['hub-1', 'hub-1'])
    install(plant.issue('hub-2', 'serverAuth'))
    expect(await hub.services.certificates!.reload()).toBe(true)
    expect(await Promise.all(ports.map(shown))).toEqual(['hub-2', 'hub-2'])
    await device.publish(topics.state(fleet, 'cam'), device.state('online', 1))
    expect(device.closed).toBe(false)
    expect(await hub.services.certificates!.reload()).toBe(false)
  })

  test('is noticed without being told', async () => {
    box = await newHub({ tls: { mode: 'files', certFile, keyFile, recheckMs: 100 } })
    await box.hub.start()
    const port = portOf(box.hub.addresses.mqttUrl)
    install(plant.issue('hub-2', 'serverAuth'))
    await waitFor(async () => expect(await shown(port)).toBe('hub-2'))
  })

  test('whose key has not come yet is not taken, and is once it has', async () => {
    const { hub } = await tlsHub()
    const next = plant.issue('hub-2', 'serverAuth')
    const port = portOf(hub.addresses.mqttUrl)
    copyFileSync(next.certFile, certFile)
    expect(await hub.services.certificates!.reload()).toBe(false)
    expect(await shown(port)).toBe('hub-1')
    copyFileSync(next.keyFile, keyFile)
    expect(await hub.services.certificates!.reload()).toBe(true)
    expect(await shown(port)).toBe('hub-2')
  })

  test('that is none keeps a hub from starting, by name', async () => {
    writeFileSync(certFile, 'nothing')
    await expect(newHub({ tls: { mode: 'files', certFile, keyFile } })).rejects.toMatchObject({
      code: 'bad-certificate',
      message: expect.stringContaining(certFile),
    })
    const [one, other] = [plant.issue('a', 'serverAuth'), plant.issue('b', 'serverAuth')]
    await expect(
      newHub({ tls: { mode: 'files', certFile: one.certFile, keyFile: other.keyFile } }),
    ).rejects.toMatchObject({ code: 'bad-certificate' })
  })
})

describe.skipIf(!hasOpenssl)('where client certificates are required', () => {
  test('a device comes in with its own, over TCP and over WebSocket', async () => {
    await tlsHub('required')
    const device = await enrolled('cam', 11)
    const own = plant.issue('cam', 'clientAuth')
    for (const way of [ways.mqtts, ways.wss]) {
      await device.connect(showing(own), way())
      await device.publish(topics.state(fleet, 'cam'), device.state('online', 1))
      await device.end()
    }
  })

  test.for(['mqtts', 'wss'] as const)('nobody else’s opens the door over %s', async (way) => {
    await tlsHub('required')
    const device = await enrolled('cam', 11)
    const url = ways[way]()
    const stranger = new Authority(directory, 'stranger')
    const attempts = {
      none: trusting(),
      'of another device': showing(plant.issue('mote', 'clientAuth')),
      'of another authority': { ...showing(stranger.issue('cam', 'clientAuth')) },
    }
    for (const [what, options] of Object.entries(attempts))
      await expect(device.connect(options, url), what).rejects.toThrow()
  })

  test('a certificate without a token is nothing', async () => {
    await tlsHub('required')
    const device = await enrolled('cam', 11)
    const own = showing(plant.issue('cam', 'clientAuth'))
    await expect(
      device.connect({ ...own, password: device.token('cam', seedOf(12)) }, ways.mqtts()),
    ).rejects.toThrow(/Bad username or password|Connection refused/i)
  })

  test('HTTP asks a device for both too, and a person for neither more nor less than before', async () => {
    const { hub, time, adminToken } = await tlsHub('required')
    await enrolled('cam', 11)
    const { httpUrl } = hub.addresses
    const headers = httpHeaders(time.now)
    const url = `${httpUrl}/blobs/sha256/${'a'.repeat(64)}`
    const [own, others] = [plant.issue('cam', 'clientAuth'), plant.issue('mote', 'clientAuth')]
    // 404: let in, and there is no such blob.
    for (let i = 0; i < 2; i++) expect((await deviceFetch(own)(url, { headers })).status).toBe(404)
    const refused = await deviceFetch(others)(url, { headers })
    expect([refused.status, await refused.json()]).toMatchObject([401, { reason: 'client_certificate' }])
    expect((await deviceFetch()(url, { headers })).status).toBe(401)
    const stranger = new Authority(directory, 'stranger')
    expect((await deviceFetch(stranger.issue('cam', 'clientAuth'))(url, { headers })).status).toBe(401)
    const admin = { authorization: `Bearer ${adminToken}` }
    expect((await deviceFetch()(`${httpUrl}/api/v1/devices`, { headers: admin })).status).toBe(200)
  })
})

describe.skipIf(!hasOpenssl)('where client certificates are optional', () => {
  test.for(['mqtts', 'wss'] as const)('one that comes over %s must be right', async (way) => {
    await tlsHub('optional')
    const device = await enrolled('cam', 11)
    const url = ways[way]()
    const stranger = new Authority(directory, 'stranger')
    await device.connect(trusting(), url)
    await device.end()
    await device.connect(showing(plant.issue('cam', 'clientAuth')), url)
    await device.end()
    const wrong = [plant.issue('mote', 'clientAuth'), stranger.issue('cam', 'clientAuth')]
    for (const pair of wrong) await expect(device.connect(showing(pair), url)).rejects.toThrow()
  })
})

describe.skipIf(!hasOpenssl)('over TLS', () => {
  test.for(['mqtts', 'wss'] as const)('a device that is revoked is put out at once (%s)', async (way) => {
    const { hub } = await tlsHub()
    const device = await enrolled('cam', 11)
    await device.connect(trusting(), ways[way]())
    await hub.services.fleet.revoke('cam', 'test')
    await device.hasClosed()
    await expect(device.connect(trusting(), ways[way]())).rejects.toThrow()
  })

  test.for(['mqtts', 'wss'] as const)('a device that takes another key is too (%s)', async (way) => {
    const { hub, time } = await tlsHub()
    const device = await enrolled('cam', 11)
    await device.connect(trusting(), ways[way]())
    const body = sealKeyRotation({ fleet, deviceId: 'cam', issuedAt: time.now }, seedOf(11), seedOf(12))
    const answer = await deviceFetch()(`${hub.addresses.httpUrl}/api/v1/devices/cam/rotate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...httpHeaders(time.now) },
      body: new TextDecoder().decode(body),
    })
    expect(answer.status).toBe(200)
    await device.hasClosed()
    await expect(device.connect(trusting(), ways[way]())).rejects.toThrow()
    await device.connect({ ...trusting(), password: device.token('cam', seedOf(12)) }, ways[way]())
  })
})

describe('a TLS configuration', () => {
  const base = { fleet: 'f', stateDir: '/x' }
  test.for([
    [{ mode: 'files' }, /certFile/],
    [{ mode: 'files', certFile: 'a', keyFile: 'b', clientCertificates: 'required' }, /caFile/],
    [{ clientCertificates: 'required' }, /tls\.mode/],
  ] as const)('that would leave a door open is refused: %j', ([tls, message]) => {
    expect(() => loadConfig({ ...base, tls })).toThrow(message)
  })
})
