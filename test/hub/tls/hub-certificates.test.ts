import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { fetchOver } from '@godwit/agent/control/link/tls'
import { loadConfig } from '@godwit/hub/config'
import { authorityOf, newAuthority } from '@godwit/hub/tls/authority'
import { type HubCertificates, namesOf, tlsPathsIn } from '@godwit/hub/tls/hub-certificates'
import { parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { afterEach, describe, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'
import { hasOpenssl } from './authority.ts'

let box: Box | undefined
afterEach(async () => {
  await box?.close()
  box = undefined
})

async function hubOfItsOwn(tls: object = {}): Promise<Box> {
  box = await newHub({ tls: { mode: 'hub', ...tls } })
  // Whoever looks at a certificate does so by the wall clock.
  box.time.now = Date.now()
  await certificates().reload()
  await box.hub.start()
  return box
}
const certificates = () => box!.hub.services.certificates as HubCertificates
const ca = () => certificates().authority.certificate
const paths = () => tlsPathsIn(box!.stateDir)
const portOf = (url: string) => Number(new URL(url).port)

function handshake(port: number, servername?: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const named = servername !== undefined && { servername }
    const socket = connectTls({ host: '127.0.0.1', port, ca: ca(), ...named }, () => resolve(socket))
    socket.once('error', reject)
  })
}
async function shown(port: number, servername?: string): Promise<string> {
  const socket = await handshake(port, servername)
  const { serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return serialNumber
}

describe('a hub that makes its own certificates', () => {
  test('speaks TLS on both ports, and whoever knows its authority believes it, under each of its names', async () => {
    const { hub } = await hubOfItsOwn({ names: ['hub.plant.example', '192.0.2.10'] })
    const { httpUrl, mqttUrl } = hub.addresses
    expect([httpUrl, mqttUrl]).toEqual([expect.stringMatching(/^https:/), expect.stringMatching(/^mqtts:/)])
    for (const url of [httpUrl, mqttUrl])
      for (const name of [undefined, 'localhost', 'hub.plant.example'])
        expect(await shown(portOf(url), name)).toMatch(/^[0-9A-F]+$/)
    await expect(handshake(portOf(httpUrl), 'other.example')).rejects.toThrow(/altnames/)
    expect((await fetchOver(() => ({ ca: ca() }), fetch)(`${httpUrl}/livez`)).status).toBe(200)
    await expect(fetch(`${httpUrl}/livez`)).rejects.toThrow()
  })

  test('keeps authority and certificate over a restart', async () => {
    await hubOfItsOwn()
    const before = [ca(), readFileSync(paths().server, 'utf8')]
    await box!.hub.stop()
    const { services } = await box!.again()
    const again = services.certificates as HubCertificates
    expect([again.authority.certificate, readFileSync(paths().server, 'utf8')]).toEqual(before)
  })

  test('renews its certificate in time, for new connections, while the open ones go on', async () => {
    const { hub, time } = await hubOfItsOwn()
    const port = portOf(hub.addresses.mqttUrl)
    const open = await handshake(port)
    const before = await shown(port)
    const held = () => new X509Certificate(readFileSync(paths().server))
    const endsAt = held().validToDate.getTime()
    time.now = endsAt - 31 * 86_400_000
    expect(await certificates().reload()).toBe(false)
    time.now = endsAt - 29 * 86_400_000
    expect(await certificates().reload()).toBe(true)
    expect(held().serialNumber).not.toBe(before)
    expect(held().validToDate.getTime()).toBe(time.now + 90 * 86_400_000)
    expect(open.destroyed).toBe(false)
    open.destroy()
  })

  test('makes another one when it is called by another name', async () => {
    await hubOfItsOwn()
    const authority = ca()
    await box!.hub.stop()
    const again = await box!.again({ tls: { mode: 'hub', names: ['new.example'] } })
    expect((again.services.certificates as HubCertificates).authority.certificate).toBe(authority)
    expect(new X509Certificate(readFileSync(paths().server)).checkHost('new.example')).toBe('new.example')
  })

  test('tells devices whom to believe: in join tokens, in the configuration for those without, at enrolment', async () => {
    const { hub, adminToken } = await hubOfItsOwn()
    const sha256 = sha256Hex(new X509Certificate(ca()).raw)
    const { enrolment } = hub.services
    const { token } = await enrolment.createJoinToken({ labels: {}, uses: 1, expiresInMs: 60_000 }, 'test')
    expect(parseJoinToken(token)).toMatchObject({ url: hub.addresses.httpUrl, caSha256: sha256 })
    const headers = { authorization: `Bearer ${adminToken}` }
    expect((await hub.http.inject({ url: '/api/v1/join-config', headers })).json()).toEqual({
      hubUrl: hub.addresses.httpUrl,
      rootSha256: sha256Hex(await hub.services.repository.firstRoot()),
      caSha256: sha256,
    })
  })
})

describe('the key of the authority', () => {
  test('is its owner’s to read, and a hub whose key others can read does not start', async () => {
    await hubOfItsOwn()
    expect([paths().authorityKey, paths().server].map((path) => statSync(path).mode & 0o777)).toEqual([
      0o600, 0o600,
    ])
    await box!.hub.stop()
    chmodSync(paths().authorityKey, 0o640)
    await expect(box!.again()).rejects.toMatchObject({
      code: 'bad-authority',
      message: expect.stringMatching(/640/),
    })
  })

  test('that is lost or another one is never replaced in silence: every device would take the hub for a stranger', async () => {
    await hubOfItsOwn()
    await box!.hub.stop()
    const { key } = await newAuthority('other', Date.now())
    writeFileSync(paths().authorityKey, key, { mode: 0o600 })
    await expect(box!.again()).rejects.toMatchObject({
      code: 'bad-authority',
      message: expect.stringMatching(/backup/),
    })
  })
})

describe('certificates', () => {
  const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey

  test.skipIf(!hasOpenssl)('hold before OpenSSL in its strict mood, each for its one purpose', async () => {
    await hubOfItsOwn()
    const client = join(paths().directory, 'client.pem')
    writeFileSync(client, await certificates().authority.issueClient('cam', p256(), Date.now()))
    const verify = (file: string, purpose: string) =>
      execFileSync(
        'openssl',
        ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', paths().authority, file],
        {
          encoding: 'utf8',
          stdio: 'pipe',
        },
      )
    expect(verify(paths().server, 'sslserver')).toMatch(/OK/)
    expect(verify(client, 'sslclient')).toMatch(/OK/)
    expect(() => verify(client, 'sslserver')).toThrow(/purpose/)
    expect(() => verify(paths().server, 'sslclient')).toThrow(/purpose/)
  })

  test('of devices carry the id as their one name', async () => {
    const authority = authorityOf(await newAuthority('f', Date.now()))
    const made = new X509Certificate(await authority.issueClient('cam_7-B', p256(), Date.now()))
    expect([made.subject, made.subjectAltName, made.ca]).toEqual(['CN=cam_7-B', undefined, false])
    expect(made.verify(new X509Certificate(authority.certificate).publicKey)).toBe(true)
  })

  test('never repeat a serial number', async () => {
    const authority = authorityOf(await newAuthority('f', Date.now()))
    const key = p256()
    const made = await Promise.all(
      Array.from({ length: 20 }, () => authority.issueClient('cam', key, Date.now())),
    )
    expect(new Set(made.map((pem) => new X509Certificate(pem).serialNumber)).size).toBe(20)
  })
})

test('a hub answers to the names in its addresses and to loopback, and to no wildcard address', () => {
  const config = loadConfig({
    fleet: 'f',
    stateDir: '/x',
    http: { host: '0.0.0.0', publicUrl: 'https://hub.example:8443' },
    mqtt: { host: '::', publicUrl: 'mqtts://[2001:db8::7]:8883' },
    tls: { mode: 'hub', names: ['10.0.0.9'] },
  })
  expect(namesOf(config)).toEqual(['10.0.0.9', 'hub.example', '2001:db8::7', 'localhost', '127.0.0.1', '::1'])
})

test.for(['certFile', 'keyFile', 'caFile'])(
  'a hub told to make its own certificates is not given %s',
  (key) => {
    expect(() => loadConfig({ fleet: 'f', stateDir: '/x', tls: { mode: 'hub', [key]: 'a.pem' } })).toThrow(
      new RegExp(`tls.${key}`),
    )
  },
)
