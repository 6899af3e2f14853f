import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { ed25519Verifiers, type Key, type KeyPolicy, type Verifier } from '../trust/key.ts'

/*
 * Verifiers for repositories that are not ours: ECDSA and RSA-PSS in PEM, as TUF §4.2 defines them. Node only,
 * and never part of a fleet's policy unless somebody writes so.
 */

function publicKeyOf(key: Key): KeyObject | undefined {
  try {
    return createPublicKey(key.keyval.public)
  } catch {
    return undefined
  }
}

function foreignVerifier(
  isSuitable: (key: KeyObject) => boolean,
  check: (key: KeyObject, message: Uint8Array, signature: Uint8Array) => boolean,
): Verifier {
  const suitable = (key: Key) => {
    const publicKey = publicKeyOf(key)
    return publicKey && isSuitable(publicKey) ? publicKey : undefined
  }
  return {
    material: (key) => suitable(key)?.export({ format: 'der', type: 'spki' }).toString('hex'),
    verify(key, message, signature) {
      try {
        const publicKey = suitable(key)
        return publicKey !== undefined && check(publicKey, message, signature)
      } catch {
        return false
      }
    },
  }
}

/** DER-encoded signatures, as securesystemslib writes them. */
function ecdsa(curve: string, hash: string): Verifier {
  return foreignVerifier(
    (key) => key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === curve,
    (key, message, signature) => verify(hash, message, { key, dsaEncoding: 'der' }, signature),
  )
}

/** "All RSA keys MUST be at least 2048 bits" (TUF §4.2). Salt lengths differ between signers. */
const rsaPss = foreignVerifier(
  (key) => key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048,
  (key, message, signature) =>
    verify(
      'sha256',
      message,
      { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO },
      signature,
    ),
)

const p256 = ecdsa('prime256v1', 'sha256')
const p384 = ecdsa('secp384r1', 'sha384')

/** For tools that read any TUF repository. The second pair of names is what old repositories call the key type. */
export const foreignKeys: KeyPolicy = {
  verifiers: new Map([
    ...ed25519Verifiers,
    ['ecdsa/ecdsa-sha2-nistp256', p256],
    ['ecdsa/ecdsa-sha2-nistp384', p384],
    ['ecdsa-sha2-nistp256/ecdsa-sha2-nistp256', p256],
    ['ecdsa-sha2-nistp384/ecdsa-sha2-nistp384', p384],
    ['rsa/rsassa-pss-sha256', rsaPss],
  ]),
}
