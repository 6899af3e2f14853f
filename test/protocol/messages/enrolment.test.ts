import { formatJoinToken, parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { toBase64url, utf8 } from '@godwit/protocol/trust/encoding'
import { expect, test } from 'vitest'

const ticket = { url: 'https://hub', secret: 'a-secret-of-16-or-more', rootSha256: 'ab'.repeat(32) }

test('a join token is read as it was written', () => {
  expect(parseJoinToken(formatJoinToken(ticket))).toEqual(ticket)
})

test('a join token that names two roots, or has another spelling, is none', () => {
  const json = JSON.stringify(ticket)
  const doubled = json.replace('{', `{"rootSha256":"${'cd'.repeat(32)}",`)
  expect(parseJoinToken(`gwjt1_${toBase64url(utf8(json))}`)).toBeUndefined()
  expect(parseJoinToken(`gwj1_${toBase64url(utf8(doubled))}`)).toBeUndefined()
  expect(parseJoinToken(`${formatJoinToken(ticket)}=`)).toBeUndefined()
  expect(parseJoinToken('gwj1_!')).toBeUndefined()
})
