import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CertificateKeeper,
  isCertificateDue,
  renewCertificate,
} from '@godwit/agent/control/client-certificate'
import { TrustedTime } from '@godwit/agent/control/clock'
import { deviceKey, enrol, type Identity, ticketOf } from '@godwit/agent/control/identity'
import { fetchOver, HubTls } from '@godwit/agent/control/link/tls'
import { pathsIn } from '@godwit/agent/control/paths'
import type { HubCertificates } from '@godwit/hub/tls/hub-certificates'
import type { EnrolmentAnswer } from '@godwit/protocol/messages/enrolment'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../../hub/support/new-hub.ts'

const day = 86_400_000
let box: Box
let directory: string
let identity: Identity
let time: TrustedTime
let monotonicMs: number
let overTls: typeof fetch
beforeEach(async () => {
  box = await newHub({ tls: { mode: 'hub' } })
  box.time.now = Date.now()
  const certificates = box.hub.services.certificates as HubCertificates
  await certificates.reload()
  await box.hub.start()
  directory = mkdtempSync(join(tmpdir(), 'godwit-certificate-'))
  const tls = new HubTls({}, pathsIn(directory).clientCertificate, certificates.authority.certificate)
  overTls = fetchOver(tls.material, fetch)
  const { token } = await box.hub.services.enrolment.createJoinToken(
    { labels: {}, uses: 1, expiresInMs: 60_000, deviceId: 'cam' },
    'test',
  )
  const device = deviceKey(pathsIn(directory))
  const answer = await enrol(pathsIn(directory), device, ticketOf(token), { fetch: overTls })
  identity = { ...device, enrolment: answer as EnrolmentAnswer }
  monotonicMs = 0
  time = new TrustedTime({ wallMs: () => box.time.now, monotonicMs: () => monotonicMs }, 0, () => {})
})
afterEach(async () => {
  await box.close()
  rmSync(directory, { recursive: true, force: true })
})

const file = () => pathsIn(directory).clientCertificate
const held = () => readFileSync(file(), 'utf8')
const log = { debug() {}, info() {}, warn() {}, error() {} }

test('a certificate is due when there is none, when it cannot be read, and when a third of its life is left', async () => {
  const now = box.time.now
  expect(isCertificateDue(undefined, now)).toBe(true)
  expect(isCertificateDue('nothing', now)).toBe(true)
  await renewCertificate(pathsIn(directory), identity, { fetch: overTls, time })
  expect([0, 55, 61, 200].map((days) => isCertificateDue(held(), now + days * day))).toEqual([
    ...[false, false, true, true],
  ])
})

test('until the answer is there and fits, the pair that was stays whole', async () => {
  await renewCertificate(pathsIn(directory), identity, { fetch: overTls, time })
  const before = held()
  const others = async () =>
    Response.json({
      certificate: before.slice(before.indexOf('-----BEGIN CERT')),
      validTo: '2027-01-01T00:00:00Z',
    })
  const answers: Record<string, typeof fetch> = {
    'hub-unreachable': () => Promise.reject(new TypeError('power cut')),
    'certificate-refused': async () => new Response('{}', { status: 200 }),
  }
  for (const [code, answer] of Object.entries(answers))
    await expect(
      renewCertificate(pathsIn(directory), identity, { fetch: answer, time }),
    ).rejects.toMatchObject({ code })
  await expect(renewCertificate(pathsIn(directory), identity, { fetch: others, time })).rejects.toMatchObject(
    {
      code: 'certificate-refused',
      message: expect.stringMatching(/another key/),
    },
  )
  expect(held()).toBe(before)
})

test('a keeper gets one, leaves a good one alone, and asks no hub that is down every minute', async () => {
  let asked = 0
  let isDown = true
  const counted: typeof fetch = (...request) => {
    asked++
    return isDown ? Promise.reject(new TypeError('down')) : overTls(...request)
  }
  const keeper = new CertificateKeeper(pathsIn(directory), identity, {
    fetch: counted,
    time,
    log,
    random: () => 1,
  })
  for (let i = 0; i < 3; i++) await keeper.look()
  expect([asked, existsSync(file())]).toEqual([1, false])
  isDown = false
  monotonicMs += 600_000
  await Promise.all([keeper.look(), keeper.look()])
  expect(asked).toBe(2)
  await keeper.look()
  expect(asked).toBe(2)
  const first = held()
  await keeper.renew()
  expect(held()).not.toBe(first)
})

test('a clock that was a year ahead while the hub could not be had puts the next try off by no year', async () => {
  let isDown = true
  const keeper = new CertificateKeeper(pathsIn(directory), identity, {
    fetch: (...request) => (isDown ? Promise.reject(new TypeError('not yet valid')) : overTls(...request)),
    time,
    log,
    random: () => 1,
  })
  const { now } = box.time
  box.time.now += 365 * day
  await keeper.look()
  box.time.now = now
  isDown = false
  monotonicMs += 600_000
  await keeper.look()
  expect(existsSync(file())).toBe(true)
})

test('an authority that an answer brings is kept only where the join token named one', async () => {
  const { token } = await box.hub.services.enrolment.createJoinToken(
    { labels: {}, uses: 1, expiresInMs: 60_000 },
    'test',
  )
  expect(identity.enrolment.ca).toMatch(/BEGIN CERTIFICATE/)
  const { caSha256: _, ...without } = ticketOf(token)
  const answer = await enrol(pathsIn(directory), identity, without, { fetch: overTls })
  expect(answer).not.toHaveProperty('ca')
})
