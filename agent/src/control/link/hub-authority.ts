import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, type DetailedPeerCertificate } from 'node:tls'
import { Fault } from '@godwit/protocol/fault'
import { sha256Hex } from '@godwit/protocol/release/blocks'

const handshakeMsMax = 15_000
/** Certificates between a hub and its authority; a chain without end is somebody else's. */
const chainMax = 8

/**
 * The certificate authority of a hub, by its digest. It is in the handshake of the hub, of which nothing is believed yet:
 * nothing is sent, and what is shown is thrown away unless it is what the join token names. The next handshake is a real one.
 *
 * @returns PEM
 * @throws Fault `hub-unreachable`, or `hub-authority-wrong` when none of what was shown has that digest
 */
export async function authorityOf(url: string, sha256: string, signal?: AbortSignal): Promise<string> {
  const { hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const tooLong = AbortSignal.any([AbortSignal.timeout(handshakeMsMax), ...(signal ? [signal] : [])])
  const shown = await new Promise<DetailedPeerCertificate>((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(port || 443),
      ...(isIP(host) === 0 && { servername: host }),
      // What it would be checked against is what is being looked for.
      rejectUnauthorized: false,
    })
    const fail = (cause?: unknown) => {
      socket.destroy()
      reject(new Fault('hub-unreachable', `cannot shake hands with ${url}`, { cause }))
    }
    socket.on('error', fail)
    tooLong.addEventListener('abort', () => fail(tooLong.reason), { once: true })
    socket.once('end', () => fail(new Error('hung up')))
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate(true))
      socket.destroy()
    })
  })
  const found: string[] = []
  let certificate: DetailedPeerCertificate | undefined = shown
  while (certificate?.raw && found.length < chainMax) {
    const digest = sha256Hex(certificate.raw)
    // An end certificate is nobody's authority, whoever wrote its digest down.
    if (digest === sha256 && new X509Certificate(certificate.raw).ca) return pem(certificate.raw)
    if (found.includes(digest)) break
    found.push(digest)
    certificate = certificate.issuerCertificate
  }
  throw new Fault(
    'hub-authority-wrong',
    `${url} showed certificates with the digests ${found.join(', ') || 'none'}, expected one with ${sha256}`,
  )
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
