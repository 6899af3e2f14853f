import { checkDirective, type DirectiveExpectation } from '@godwit/protocol/trust/director'
import { encodeEnvelope } from '@godwit/protocol/trust/metadata'
import { describe, expect, test } from 'vitest'
import { hourMs, now, signerOf, TufRepository } from '../../support/tuf-repository.ts'

const repository = new TufRepository({ extraRoles: ['director'] })
const directive = {
  _type: 'directive',
  fleet: 'north',
  deviceId: 'valve-7',
  version: 4,
  issued: new Date(now).toISOString(),
  expires: new Date(now + hourMs).toISOString(),
  slots: { main: { model: 'gauge-reader', version: '3' } },
}
const expected: DirectiveExpectation = { fleet: 'north', deviceId: 'valve-7', now }

function check(change: object = {}, more: Partial<DirectiveExpectation> = {}, root = repository.root) {
  const bytes = encodeEnvelope(repository.sign('director', { ...directive, ...change }))
  return checkDirective(bytes, root, { ...expected, ...more })
}

function digestOf(change: object = {}): string {
  const verdict = check(change)
  if (!verdict.trusted) throw new Error(verdict.detail)
  return verdict.value.digest
}

describe('a directive', () => {
  test('by the director, for this device, is trusted with all that it says', () => {
    expect(check()).toMatchObject({ trusted: true, value: { unchanged: false, directive } })
    expect(check({}, { applied: { version: 3, digest: 'x' } })).toMatchObject({ trusted: true })
  })

  test('delivered again is unchanged, even after it expired', () => {
    const applied = { version: 4, digest: digestOf() }
    expect(check({}, { applied, now: now + 2 * hourMs })).toMatchObject({ value: { unchanged: true } })
  })

  test.each<[string, object, Partial<DirectiveExpectation>, string]>([
    ['for another device', { deviceId: 'camera-1' }, {}, 'wrong-device'],
    ['of another fleet', { fleet: 'south' }, {}, 'wrong-fleet'],
    ['replayed after a newer one', {}, { applied: { version: 5, digest: 'x' } }, 'rollback'],
    ['replayed after a reset clock', {}, { applied: { version: 5, digest: 'x' }, now: 0 }, 'rollback'],
    ['of the same version with other content', {}, { applied: { version: 4, digest: 'x' } }, 'rollback'],
    ['that expired', {}, { now: now + hourMs }, 'expired'],
    ['without a version', { version: undefined }, {}, 'malformed'],
    ['of another type', { _type: 'report' }, {}, 'wrong-type'],
  ])('%s is refused', (_, change, more, because) => {
    expect(check(change, more)).toMatchObject({ trusted: false, because })
  })

  test('with a fraction in it has no canonical form, so nobody can have signed it', () => {
    const text = JSON.stringify(repository.sign('director', directive)).replace('"3"', '0.5')
    expect(checkDirective(Buffer.from(text), repository.root, expected)).toMatchObject({
      because: 'malformed',
    })
  })

  test('by anybody but the director is refused: timestamp key, targets key, a stranger', () => {
    for (const name of ['timestamp-1', 'targets-1', 'root-1', 'mallory']) {
      repository.signers.set('director', [signerOf(name)])
      expect(check()).toMatchObject({ because: 'bad-signature' })
    }
    repository.signers.set('director', [signerOf('director-1')])
  })

  test('is refused where root names no director', () => {
    expect(check({}, {}, new TufRepository().root)).toMatchObject({ because: 'unknown-role' })
  })

  test('changed on the way is refused at every byte', () => {
    const bytes = encodeEnvelope(repository.sign('director', directive))
    for (let i = 0; i < bytes.length; i += 7) {
      const changed = Uint8Array.from(bytes)
      changed[i]! ^= 1
      expect(checkDirective(changed, repository.root, expected).trusted, `byte ${i}`).toBe(false)
    }
  })
})
