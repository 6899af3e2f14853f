import Type, { type Static } from 'typebox'
import { sha256 } from '#crypto'
import { defineDocument, Rfc3339 } from '../schema.ts'
import type { EpochMs } from '../units.ts'
import { canonicalBytes } from './canonical.ts'
import { checkFresh } from './checks.ts'
import { toHex } from './encoding.ts'
import { ed25519Only, type KeyPolicy, openEnvelope, own, type Root, verifyThreshold } from './metadata.ts'
import { accept, refuse, type Verdict } from './refusal.ts'

/** The part of a directive that trust is about; messages/directive.ts knows the rest. */
const DirectiveHead = defineDocument(
  'directive',
  Type.Object({
    _type: Type.Literal('directive'),
    fleet: Type.String(),
    deviceId: Type.String(),
    version: Type.Integer({ minimum: 1 }),
    issued: Rfc3339,
    expires: Rfc3339,
  }),
)
export type DirectiveHead = Static<typeof DirectiveHead.schema>

/**
 * How far one directive may be above the last. A stolen director key could otherwise count to the end at once, and no
 * directive of its rightful owner would ever be newer. Nobody issues so many to one device, asleep or not.
 */
export const directiveStepMax = 1_000_000

export type DirectiveExpectation = {
  fleet: string
  deviceId: string
  now: EpochMs
  /** The last directive this device applied, undefined for the first. */
  applied?: { version: number; digest: string } | undefined
}

/** `digest` is the hex SHA-256 of the canonical directive, to be kept as `applied`. */
export type DirectiveVerdict = Verdict<{ directive: DirectiveHead; digest: string; unchanged: boolean }>

/**
 * Is this the next goal state for this very device, by someone whom root calls `director`? Uptane's idea: the
 * hub's broker may be stolen, and still camera A will not take the model of valve B. The director can only
 * choose among what targets lists; it cannot release anything.
 */
export function checkDirective(
  bytes: Uint8Array,
  root: Root,
  expected: DirectiveExpectation,
  policy: KeyPolicy = ed25519Only,
): DirectiveVerdict {
  const envelope = openEnvelope(bytes, 'directive')
  if (!envelope.trusted) return envelope
  const director = own(root.roles, 'director')
  if (!director) return refuse('unknown-role', `root ${root.version} names no director`)
  const signed = verifyThreshold(envelope.value, root.keys, director, policy)
  if (!signed.trusted) return refuse(signed.because, `directive: ${signed.detail}`)
  const read = DirectiveHead.check(envelope.value.signed)
  if (!read.ok) return refuse('malformed', read.detail)

  const directive = read.value
  if (directive.fleet !== expected.fleet)
    return refuse('wrong-fleet', `directive: expected fleet ${expected.fleet}, found ${directive.fleet}`)
  if (directive.deviceId !== expected.deviceId)
    return refuse(
      'wrong-device',
      `directive: expected device ${expected.deviceId}, found ${directive.deviceId}`,
    )

  const digest = toHex(sha256(canonicalBytes(directive)))
  const { applied } = expected
  // Before expiry: retained messages bring the same goal state again and again, and what was applied in time
  // stays applied.
  if (applied?.version === directive.version && applied.digest === digest)
    return accept({ directive, digest, unchanged: true })
  if (applied && directive.version <= applied.version)
    return refuse(
      'rollback',
      `directive: expected a version above ${applied.version}, found ${directive.version}` +
        (directive.version === applied.version ? ' with other content' : ''),
    )
  const highest = (applied?.version ?? 0) + directiveStepMax
  if (directive.version > highest)
    return refuse(
      'version-mismatch',
      `directive: expected a version up to ${highest}, found ${directive.version}`,
    )
  return checkFresh('directive', directive, expected.now) ?? accept({ directive, digest, unchanged: false })
}
