import { RunnerFailure } from '@godwit/agent/control/cage'
import { codeFor, codeOfError } from '@godwit/agent/control/report'
import { Fault } from '@godwit/protocol/fault'
import { resultCodes } from '@godwit/protocol/result-code'
import type { Refusal } from '@godwit/protocol/trust/refusal'
import { expect, test } from 'vitest'

test.each<[Refusal, string]>([
  ['bad-signature', 'bad_signature'],
  ['unknown-role', 'bad_signature'],
  ['rollback', 'rollback_refused'],
  ['expired', 'expired_metadata'],
  ['hash-mismatch', 'integrity'],
  ['not-listed', 'not_listed'],
  ['wrong-device', 'wrong_device'],
  ['wrong-fleet', 'wrong_device'],
  ['malformed', 'malformed'],
  ['absent', 'link_lost'],
])('the refusal %s is reported as %s', (refusal, code) => {
  expect(codeFor(refusal)).toBe(code)
  expect(Object.keys(resultCodes)).toContain(code)
})

test('a full disk is told as no space, however deep the cause lies', () => {
  const full = Object.assign(new Error('write'), { code: 'ENOSPC' })
  expect(codeOfError(new Fault('store-unavailable', 'database', { cause: full }))).toBe('no_space')
  expect(codeOfError(Object.assign(new Error('sqlite'), { errcode: 13 }))).toBe('no_space')
  expect(codeOfError(new Error('something else'))).toBe('internal')
  expect(codeOfError(new RunnerFailure('selftest_crash', 'gone'))).toBe('selftest_crash')
})
