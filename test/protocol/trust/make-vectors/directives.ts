import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalText } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'
import { directive, report, sealed } from './documents.ts'
import { keyNamed } from './keys.ts'

const now = '2026-11-05T00:00:00.000Z'
const applied = { version: 4, digest: sha256Hex(utf8(canonicalText({ ...directive, version: 4 }))) }

const changed = (change: object) => sealed({ ...directive, ...change }, 'director')
const good = changed({})
const opened = JSON.parse(good) as { signed: object; signatures: [object] }
const [signature] = opened.signatures
const resigned = (...signatures: object[]) => canonicalText({ signed: opened.signed, signatures })

/** The verdicts are said here and not asked of our own client: a mistake of its would become the standard. */
const cases: readonly (readonly [verdict: string, why: string, envelope: string])[] = [
  ['take', 'the next one', good],
  [
    'take',
    'white space and another order of keys change nothing that is signed',
    JSON.stringify({ signatures: opened.signatures, signed: opened.signed }, undefined, 1),
  ],
  [
    'take',
    'signatures by strangers are ignored beside the right one',
    resigned({ keyid: 'ab', sig: 'no hex' }, signature),
  ],
  ['unchanged', 'the one that is applied already', changed({ version: 4 })],
  ['rollback', 'the same number with other content', changed({ version: 4, telemetry: { windowMs: 1000 } })],
  ['rollback', 'an older one', changed({ version: 3 })],
  ['version-mismatch', 'a number more than 1,000,000 above the last', changed({ version: 1000005 })],
  ['take', 'exactly 1,000,000 above the last', changed({ version: 1000004 })],
  ['wrong-device', 'for another device', changed({ deviceId: 'cam-8' })],
  ['wrong-fleet', 'for another fleet', changed({ fleet: 'Plant' })],
  ['expired', 'expired at this very moment', changed({ expires: now })],
  ['bad-signature', 'by a key that is not the director', sealed(directive, 'publisher')],
  ['bad-signature', 'changed after it was signed', good.replace('gauge-reader', 'gauge-reades')],
  ['malformed', 'one signature twice', resigned(signature, signature)],
  ['malformed', 'a key twice', good.replace('"deviceId":"cam-7"', '"deviceId":"cam-7","deviceId":"cam-7"')],
  ['wrong-type', 'a report in the place of a directive', sealed(report, 'director')],
  ['malformed', 'no JSON', '{'],
]

/** The publisher holds every role but the director's. */
function rootEnvelope(): string {
  const [publisher, director] = [keyNamed('publisher'), keyNamed('director')]
  const by = ({ keyid }: { keyid: string }) => ({ keyids: [keyid], threshold: 1 })
  const roles = Object.fromEntries(
    ['root', 'targets', 'snapshot', 'timestamp'].map((role) => [role, by(publisher)]),
  )
  const root = {
    ...{ _type: 'root', spec_version: '1.0.31', version: 1, expires: '2027-11-01T12:00:00Z' },
    consistent_snapshot: true,
    keys: Object.fromEntries([publisher, director].map(({ keyid, key }) => [keyid, key])),
    roles: { ...roles, director: by(director) },
  }
  return sealed(root, 'publisher')
}

export function directivesVectors() {
  return {
    about:
      'SPEC 6.1: what a device makes of each envelope, given this root, these names, this time, and this directive as the last applied. verdict: take, unchanged, or the reason of the refusal.',
    root: rootEnvelope(),
    ...{ fleet: 'plant', deviceId: 'cam-7', now, applied },
    cases: cases.map(([verdict, why, envelope]) => ({ why, envelope, verdict })),
  }
}
