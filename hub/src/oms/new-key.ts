import { createCipheriv, generateKeyPairSync, pbkdf2Sync, randomBytes } from 'node:crypto'
import { publicPemOf } from './ec-key.ts'

/** OWASP's figure of 2023 for PBKDF2-HMAC-SHA256; OpenSSL's own default of 2,048 is no obstacle to a graphics card. */
const iterations = 600_000

/** DER of the object identifiers: PBES2, PBKDF2, hmacWithSHA256, aes256-CBC. */
const oid = {
  pbes2: Buffer.from('06092a864886f70d01050d', 'hex'),
  pbkdf2: Buffer.from('06092a864886f70d01050c', 'hex'),
  hmacWithSha256: Buffer.from('06082a864886f70d0209', 'hex'),
  aes256Cbc: Buffer.from('060960864801650304012a', 'hex'),
}

/**
 * A new P-256 key. The private half is PKCS #8 encrypted by PBES2 (RFC 8018), which openssl, Python's cryptography and
 * Node read with the passphrase. Built here because Node writes that format with 2,048 iterations only.
 */
export function newEcKey(passphrase: string): { privatePem: string; publicPem: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const der = privateKey.export({ type: 'pkcs8', format: 'der' })
  return { privatePem: encryptedPem(der, passphrase), publicPem: publicPemOf(privateKey) }
}

function encryptedPem(pkcs8: Buffer, passphrase: string): string {
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const key = pbkdf2Sync(passphrase, salt, iterations, 32, 'sha256')
  const cipher = createCipheriv('aes-256-cbc', key, iv)
  const encrypted = Buffer.concat([cipher.update(pkcs8), cipher.final()])
  const count = Buffer.from([iterations >> 16, (iterations >> 8) & 0xff, iterations & 0xff])
  const prf = sequence(oid.hmacWithSha256, Buffer.from('0500', 'hex'))
  const derivation = sequence(oid.pbkdf2, sequence(element(0x04, salt), element(0x02, count), prf))
  const scheme = sequence(oid.pbes2, sequence(derivation, sequence(oid.aes256Cbc, element(0x04, iv))))
  const base64 = sequence(scheme, element(0x04, encrypted)).toString('base64')
  const lines = base64.match(/.{1,64}/g)!.join('\n')
  return `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${lines}\n-----END ENCRYPTED PRIVATE KEY-----\n`
}

function sequence(...parts: Buffer[]): Buffer {
  return element(0x30, Buffer.concat(parts))
}

/** Contents here stay below 65,536 bytes. */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
