import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { authorityOf } from '@godwit/agent/control/link/hub-authority'
import { type HubCertificates, tlsPathsIn } from '@godwit/hub/tls/hub-certificates'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { type Box, newHub } from '../../../hub/support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub({ tls: { mode: 'hub' } })
  await box.hub.start()
})
afterEach(() => box.close())

const authority = () => (box.hub.services.certificates as HubCertificates).authority
const url = () => box.hub.addresses.httpUrl

test('an authority is known by its digest out of the handshake, and is the very one that the hub has', async () => {
  const found = await authorityOf(url(), authority().sha256)
  expect(found.trim()).toBe(authority().certificate.trim())
  expect(await authorityOf(url().replace('127.0.0.1', 'localhost'), authority().sha256)).toBe(found)
})

test('a hub that shows another authority is not believed, and was sent nothing', async () => {
  let requests = 0
  box.hub.http.server.on('request', () => requests++)
  await expect(authorityOf(url(), '0'.repeat(64))).rejects.toMatchObject({
    code: 'hub-authority-wrong',
    message: expect.stringContaining(authority().sha256),
  })
  expect(requests).toBe(0)
})

test('the certificate of the hub itself does for an authority no more than any other', async () => {
  const leaf = new X509Certificate(readFileSync(tlsPathsIn(box.stateDir).server))
  await expect(authorityOf(url(), sha256Hex(leaf.raw))).rejects.toMatchObject({ code: 'hub-authority-wrong' })
})

test.each(['hangs up', 'says nothing'])('a stranger who %s is no hub yet', async (how) => {
  const server = createServer((socket) => {
    if (how === 'hangs up') socket.end()
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const leaving = new AbortController()
  const { port } = server.address() as AddressInfo
  const asking = authorityOf(`https://127.0.0.1:${port}`, '0'.repeat(64), leaving.signal)
  if (how === 'says nothing') leaving.abort()
  await expect(asking).rejects.toMatchObject({ code: 'hub-unreachable' })
})
