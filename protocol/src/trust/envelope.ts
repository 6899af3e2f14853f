import Type, { type Static } from 'typebox'
import { Fault } from '../fault.ts'
import { defineDocument } from '../schema.ts'
import { canonicalBytes, canonicalText, parseStrict } from './canonical.ts'
import { sign } from './ed25519.ts'
import { fromHex, toHex, utf8 } from './encoding.ts'
import { type Key, type KeyPolicy, keyIdOf, verifierOf } from './key.ts'
import { accept, refuse, type Verdict } from './refusal.ts'

/** `sig` may be any text: others may sign with kinds of key that we do not know, or not have signed yet. */
export const Signature = Type.Object({ keyid: Type.String(), sig: Type.String() })
export type Signature = Static<typeof Signature>

export type Signed<T> = { signed: T; signatures: Signature[] }

const Envelope = defineDocument(
  'envelope',
  Type.Object({ signed: Type.Object({ _type: Type.String() }), signatures: Type.Array(Signature) }),
)

/** Who may sign, and how many of them must (TUF §4.3). */
export const RoleKeys = Type.Object({
  keyids: Type.Array(Type.String()),
  threshold: Type.Integer({ minimum: 1 }),
})
export type RoleKeys = Static<typeof RoleKeys>

/** Reads the outside of a signed document and what type it says it is; believes nothing of the inside. */
export function openEnvelope(bytes: Uint8Array, type: string): Verdict<Signed<unknown>> {
  const parsed = parseStrict(bytes)
  if (!parsed.ok) return refuse('malformed', `${type}: ${parsed.detail}`)
  const envelope = Envelope.check(parsed.value)
  if (!envelope.ok) return refuse('malformed', `${type}: ${envelope.detail}`)
  const found = envelope.value.signed._type
  if (found !== type) return refuse('wrong-type', `expected a ${type} document, found ${quoted(found)}`)
  // TUF §4.1: the key id must be unique in the "signatures" array.
  const seen = new Set<string>()
  const twice = envelope.value.signatures.find(({ keyid }) => seen.size === seen.add(keyid).size)
  if (twice !== undefined) return refuse('malformed', `${type}: two signatures by key ${quoted(twice.keyid)}`)
  return accept(envelope.value)
}

/**
 * Has a threshold of this role's keys signed? Counts keys, not signatures (TUF §5.3.4): each id once, and each
 * key material once whatever ids it hides behind. Signatures by strangers and broken ones count nothing and
 * harm nothing, so that a role may be signed with more kinds of key than one client knows.
 */
export function verifyThreshold(
  envelope: Signed<unknown>,
  keys: Record<string, Key>,
  role: RoleKeys,
  policy: KeyPolicy,
): Verdict<number> {
  const message = signableBytes(envelope.signed)
  if (!message.trusted) return message
  const allowed = new Set(role.keyids)
  const counted = new Set<string>()
  for (const { keyid, sig } of envelope.signatures) {
    if (!allowed.has(keyid) || !Object.hasOwn(keys, keyid)) continue
    const key = keys[keyid]!
    const verifier = verifierOf(policy, key)
    const material = verifier?.material(key)
    const signature = fromHex(sig)
    if (!verifier || !material || !signature || counted.has(material)) continue
    // A key under an id that is not its own could stand in for the real one.
    if (keyIdOf(key) !== keyid) continue
    if (verifier.verify(key, message.value, signature)) counted.add(material)
  }
  if (counted.size >= role.threshold) return accept(counted.size)
  return refuse('bad-signature', `expected ${role.threshold} valid signatures, found ${counted.size}`)
}

/** The canonical bytes to sign, or to verify: a document that has no canonical form was never signed. */
export function signableBytes(signed: unknown): Verdict<Uint8Array> {
  try {
    return accept(canonicalBytes(signed))
  } catch (error) {
    if (error instanceof Fault) return refuse('malformed', error.message)
    throw error
  }
}

/** One signature over `signed`. The document itself is not touched, so this may happen on another machine. */
export function signatureOver(signed: unknown, seed: Uint8Array, key: Key): Signature {
  return { keyid: keyIdOf(key), sig: toHex(sign(seed, canonicalBytes(signed))) }
}

export function signDocument<T>(signed: T, seed: Uint8Array, key: Key): Signed<T> {
  return { signed, signatures: [signatureOver(signed, seed, key)] }
}

/** Adds a signature made elsewhere; a second one by the same key replaces the first. */
export function withSignature<T>(envelope: Signed<T>, signature: Signature): Signed<T> {
  const others = envelope.signatures.filter(({ keyid }) => keyid !== signature.keyid)
  return { signed: envelope.signed, signatures: [...others, signature] }
}

/**
 * The bytes that a signed document travels and is hashed as: its canonical form, but for control characters. Those stand
 * in canonical strings as they are, which is no JSON; a line feed in an error's text must not make a report unreadable.
 */
export function encodeEnvelope(envelope: Signed<unknown>): Uint8Array {
  return utf8(canonicalText(envelope).replace(controlCharacters, escaped))
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
const controlCharacters = /[\u0000-\u001f]/g

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
