import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from 'node:crypto'
import { isIP } from 'node:net'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { loadX509 } from './x509.ts'

/** A certificate authority of the fleet's own: who has its key can be the hub, or any device, to TLS (and to nothing else). */
export type Authority = {
  /** PEM. What devices, browsers and brokers are told to believe. */
  readonly certificate: string
  /** Of the certificate's DER: what a join token carries. */
  readonly sha256: string
  readonly validTo: number
  /** For the hub itself, under all these names and addresses. */
  issueServer(names: readonly string[], now: number): Promise<Pair>
  /** For a device that holds the private half of that key. @param publicKey SPKI, of P-256 */
  issueClient(deviceId: string, publicKey: KeyObject, now: number): Promise<string>
}

/** PEM, both. */
export type Pair = { certificate: string; key: string }

const day = 86_400_000
/** Ten years: it is in the field with every device, and a device that sleeps for one year must still know it. */
const authorityMs = 3_650 * day
/** Integer milliseconds. Renewed when a third is left, which is longer than most devices sleep. */
export const leafMs = 90 * day
/** A device whose clock is a day behind must not take a new certificate for one of tomorrow. */
const allowanceMs = day

const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** P-256: Ed25519 in certificates is still news to some brokers, browsers and secure elements. */
export async function newAuthority(fleet: string, now: number): Promise<Pair> {
  const x509 = await loadX509()
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = { publicKey: verifying(publicKey), privateKey: signing(privateKey) }
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    keys,
    signingAlgorithm: p256,
    name: [{ CN: [`Godwit hub of ${fleet}`] }],
    notBefore: new Date(now - allowanceMs),
    notAfter: new Date(now + authorityMs),
    extensions: [
      // Signs leaves and no other authority.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: pem(certificate.toString('pem')), key: pemOfKey(privateKey) }
}

/** @throws TypeError when the two do not belong together */
export function authorityOf({ certificate, key }: Pair): Authority {
  const own = new X509Certificate(certificate)
  const privateKey = createPrivateKey(key)
  if (!own.ca || !own.checkPrivateKey(privateKey))
    throw new TypeError('certificate and key of the authority do not fit')

  async function issue(
    subject: string,
    publicKey: KeyObject,
    use: 'serverAuth' | 'clientAuth',
    names: readonly string[],
    now: number,
  ): Promise<string> {
    const x509 = await loadX509()
    const made = await x509.X509CertificateGenerator.create({
      subject: [{ CN: [subject] }],
      issuer: new x509.X509Certificate(certificate).subjectName,
      publicKey: verifying(publicKey),
      signingKey: signing(privateKey),
      signingAlgorithm: p256,
      notBefore: new Date(now - allowanceMs),
      notAfter: new Date(now + leafMs),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        // One use alone: the certificate of a device that was taken apart must not make it the hub.
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage[use]]),
        await x509.AuthorityKeyIdentifierExtension.create(verifying(own.publicKey)),
        ...(names.length > 0
          ? [
              new x509.SubjectAlternativeNameExtension(
                names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value })),
              ),
            ]
          : []),
      ],
    })
    return pem(made.toString('pem'))
  }

  return {
    certificate,
    sha256: sha256Hex(own.raw),
    validTo: own.validToDate.getTime(),
    async issueServer(names, now) {
      const { publicKey, privateKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      return {
        certificate: await issue(names[0] ?? 'hub', publicKey, 'serverAuth', names, now),
        key: pemOfKey(key),
      }
    },
    issueClient: (deviceId, publicKey, now) => issue(deviceId, publicKey, 'clientAuth', [], now),
  }
}

/** Undefined: this is no public key of the one kind that devices use here. @param spki base64 of its DER */
export function p256KeyOf(spki: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' })
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined
  } catch {
    return undefined
  }
}

function signing(key: KeyObject) {
  return key.toCryptoKey(p256, true, ['sign'])
}

function verifying(key: KeyObject) {
  return key.toCryptoKey(p256, true, ['verify'])
}

function pemOfKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string
}

function pem(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`
}
