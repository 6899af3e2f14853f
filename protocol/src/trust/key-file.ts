import nacl from 'tweetnacl'
import Type, { type Static } from 'typebox'
import { Fault } from '../fault.ts'
import { defineDocument, Sha256Hex } from '../schema.ts'
import { parseStrict } from './canonical.ts'
import { publicKeyOf, seedBytes } from './ed25519.ts'
import { fromBase64url, toBase64url, toHex } from './encoding.ts'
import { keyIdOf, keyOfSeed } from './key.ts'
import { accept, refuse, type Verdict } from './refusal.ts'

export const keyFileFormat = 'godwit-key/1'
export const derivedKeyBytes = nacl.secretbox.keyLength
export const nonceBytes = nacl.secretbox.nonceLength

/**
 * How the passphrase becomes a key. Bounds on both sides: a file must not talk a tool into a weak key, nor
 * into more memory than a small machine has (128 · N · r bytes: at most 1 GiB here).
 */
export const KeyDerivation = Type.Object(
  {
    kdf: Type.Literal('scrypt'),
    N: Type.Integer({ minimum: 2 ** 14, maximum: 2 ** 20 }),
    r: Type.Integer({ minimum: 8, maximum: 8 }),
    p: Type.Integer({ minimum: 1, maximum: 4 }),
    salt: Type.String({ pattern: '^[A-Za-z0-9_-]{22,86}$' }),
  },
  { additionalProperties: false },
)
export type KeyDerivation = Static<typeof KeyDerivation>

/** OWASP's figure for scrypt in 2023: 128 MiB and about half a second on a small machine. */
export const keyDerivationDefault = { kdf: 'scrypt', N: 2 ** 17, r: 8, p: 1 } as const

const KeyFileDocument = defineDocument(
  'key file',
  Type.Object(
    {
      format: Type.Literal(keyFileFormat),
      keyid: Sha256Hex,
      keytype: Type.Literal('ed25519'),
      public: Sha256Hex,
      encrypted: Type.Object(
        { ...KeyDerivation.properties, nonce: Type.String(), box: Type.String() },
        { additionalProperties: false },
      ),
    },
    { additionalProperties: false },
  ),
)
/** A private key at rest. Bytes are base64url, but key id and public key are hex as in TUF metadata. */
export type KeyFile = Static<typeof KeyFileDocument.schema>

/**
 * @param derivedKey 32 bytes that the caller's scrypt made of the passphrase with `derivation`
 * @param nonce 24 fresh random bytes
 */
export function sealKey(
  seed: Uint8Array,
  derivedKey: Uint8Array,
  nonce: Uint8Array,
  derivation: KeyDerivation,
): KeyFile {
  requireLength('derived key', derivedKey, derivedKeyBytes)
  requireLength('nonce', nonce, nonceBytes)
  const key = keyOfSeed(seed)
  const box = nacl.secretbox(seed, nonce, derivedKey)
  return {
    format: keyFileFormat,
    keyid: keyIdOf(key),
    keytype: 'ed25519',
    public: key.keyval.public,
    encrypted: { ...derivation, nonce: toBase64url(nonce), box: toBase64url(box) },
  }
}

export function readKeyFile(bytes: Uint8Array): Verdict<KeyFile> {
  const parsed = parseStrict(bytes, 4)
  if (!parsed.ok) return refuse('malformed', `key file: ${parsed.detail}`)
  const read = KeyFileDocument.check(parsed.value)
  return read.ok ? accept(read.value) : refuse('malformed', read.detail)
}

/** The seed. Also compares the public half: a file whose label was exchanged would sign under a strange name. */
export function openKey(file: KeyFile, derivedKey: Uint8Array): Verdict<Uint8Array> {
  requireLength('derived key', derivedKey, derivedKeyBytes)
  const nonce = fromBase64url(file.encrypted.nonce)
  const box = fromBase64url(file.encrypted.box)
  if (nonce?.length !== nonceBytes || box?.length !== seedBytes + nacl.secretbox.overheadLength)
    return refuse('malformed', `key file ${file.keyid}: nonce or box has the wrong length`)
  const seed = nacl.secretbox.open(box, nonce, derivedKey)
  if (!seed)
    return refuse('wrong-passphrase', `key file ${file.keyid}: wrong passphrase, or the file is damaged`)
  if (toHex(publicKeyOf(seed)) !== file.public || keyIdOf(keyOfSeed(seed)) !== file.keyid)
    return refuse('malformed', `key file ${file.keyid}: the private key inside belongs to another public key`)
  return accept(seed)
}

/** The salt that scrypt needs, as bytes. */
export function saltOf(file: KeyFile): Uint8Array {
  const salt = fromBase64url(file.encrypted.salt)
  if (!salt) throw new Fault('bad-key-file', `key file ${file.keyid}: the salt is not base64url`)
  return salt
}

function requireLength(what: string, bytes: Uint8Array, expected: number): void {
  if (bytes.length === expected) return
  throw new Fault('bad-key', `a ${what} has ${expected} bytes, this one has ${bytes.length}`)
}
