import { createHash } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../hub/support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

const svg =
  '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(document.cookie)"><script>alert(1)</script></svg>'

test('a file of a bundle that is an SVG with a script is handed out as bytes that no browser opens', async () => {
  const hex = createHash('sha256').update(svg).digest('hex')
  const headers = { authorization: `Bearer ${box.adminToken}`, 'content-type': 'application/octet-stream' }
  const url = `/blobs/sha256/${hex}`
  const put = await box.hub.http.inject({ method: 'PUT', url: `/api/v1${url}`, headers, payload: svg })
  expect(put.statusCode).toBe(201)
  const answer = await box.hub.http.inject({
    url,
    headers: { ...headers, accept: 'image/svg+xml,text/html' },
  })
  expect(answer.body).toBe(svg)
  expect(answer.headers['content-type']).toBe('application/octet-stream')
  expect(answer.headers['x-content-type-options']).toBe('nosniff')
  expect(answer.headers['content-security-policy']).toContain("default-src 'self'")
})
