import Type, { type Static } from 'typebox'
import { tokenLifeMsMax, tokenSkewMsMax } from '../limits.ts'
import { defineDocument, EpochMs as EpochMsSchema } from '../schema.ts'
import type { EpochMs } from '../units.ts'
import { canonicalBytes, parseStrict } from './canonical.ts'
import { sign, verify } from './ed25519.ts'
import { fromBase64url, sameBytes, toBase64url } from './encoding.ts'
import { accept, type Refused, refuse, type Verdict } from './refusal.ts'

/**
 * What a device says instead of a password. `_type` keeps it apart from everything else that the same key
 * signs: a report can never be replayed as a token.
 */
const DeviceClaim = defineDocument(
  'device token',
  Type.Object(
    {
      _type: Type.Literal('device-token'),
      fleet: Type.String(),
      deviceId: Type.String(),
      issuedAt: EpochMsSchema,
      expiresAt: EpochMsSchema,
      audience: Type.String(),
    },
    { additionalProperties: false },
  ),
)
export type DeviceClaim = Static<typeof DeviceClaim.schema>

/** Long enough for the longest names, short enough for any broker's password field. */
export const tokenCharactersMax = 1_024

/** `base64url(canonical claim).base64url(signature)`: plain text, fits an MQTT password. */
export function mintDeviceToken(claim: Omit<DeviceClaim, '_type'>, seed: Uint8Array): string {
  const payload = canonicalBytes({ _type: 'device-token', ...claim })
  return `${toBase64url(payload)}.${toBase64url(sign(seed, payload))}`
}

/** Who a token says it is from, to find the key that must have signed it. Believe nothing else of it. */
export function readDeviceToken(token: string): Verdict<DeviceClaim> {
  const parts = readParts(token)
  return parts.trusted ? accept(parts.value.claim) : parts
}

/**
 * @param expected `skewMsMax`: how far the device's clock may be off, in milliseconds, either way
 */
export function checkDeviceToken(
  token: string,
  publicKey: Uint8Array,
  expected: { fleet: string; deviceId: string; audience: string; now: EpochMs; skewMsMax?: number },
): Verdict<DeviceClaim> {
  const parts = readParts(token)
  if (!parts.trusted) return parts
  const { claim, payload, signature } = parts.value
  if (!verify(publicKey, payload, signature))
    return refuse(
      'bad-signature',
      `token of ${claim.deviceId} is not signed by the key of ${expected.deviceId}`,
    )
  if (claim.fleet !== expected.fleet)
    return refuse('wrong-fleet', `token: expected fleet ${expected.fleet}, found ${claim.fleet}`)
  if (claim.deviceId !== expected.deviceId)
    return refuse('wrong-device', `token: expected device ${expected.deviceId}, found ${claim.deviceId}`)
  if (claim.audience !== expected.audience)
    return refuse('wrong-audience', `token: expected audience ${expected.audience}, found ${claim.audience}`)
  return checkTime(claim, expected.now, expected.skewMsMax ?? tokenSkewMsMax) ?? accept(claim)
}

function checkTime(claim: DeviceClaim, now: EpochMs, skewMsMax: number): Refused | undefined {
  const { issuedAt, expiresAt } = claim
  const lifeMs = expiresAt - issuedAt
  // A device cannot give itself a password for ever.
  if (lifeMs <= 0 || lifeMs > tokenLifeMsMax)
    return refuse('life-exceeded', `token: expected a life of up to ${tokenLifeMsMax} ms, found ${lifeMs} ms`)
  if (issuedAt > now + skewMsMax)
    return refuse(
      'not-yet-valid',
      `token: issued ${issuedAt - now} ms from now; is the device's clock ahead?`,
    )
  if (expiresAt <= now - skewMsMax)
    return refuse('expired', `token: expired ${now - expiresAt} ms ago; is the device's clock behind?`)
  return undefined
}

type Parts = { claim: DeviceClaim; payload: Uint8Array; signature: Uint8Array }

function readParts(token: string): Verdict<Parts> {
  if (token.length > tokenCharactersMax)
    return refuse(
      'length-exceeded',
      `token: expected at most ${tokenCharactersMax} characters, found ${token.length}`,
    )
  const [first, second, ...rest] = token.split('.')
  const payload = fromBase64url(first ?? '')
  const signature = fromBase64url(second ?? '')
  if (!payload || !signature || rest.length > 0)
    return refuse('malformed', 'token: expected two base64url parts')
  const parsed = parseStrict(payload, 2)
  if (!parsed.ok) return refuse('malformed', `token: ${parsed.detail}`)
  const read = DeviceClaim.check(parsed.value)
  if (!read.ok) return refuse('malformed', read.detail)
  if (!sameBytes(canonicalBytes(read.value), payload)) return refuse('malformed', 'token: not canonical JSON')
  return accept({ claim: read.value, payload, signature })
}
