import { TLSSocket } from 'node:tls'
import type { HubConfig } from '../config.ts'

/** Who the other end of a connection is by its certificate. */
export type Peer =
  | { certificate: 'none' }
  /** Not signed by whom the hub trusts for that, or not valid today. */
  | { certificate: 'untrusted'; detail: string }
  | { certificate: 'trusted'; commonName: string }

export type CertificatePolicy = HubConfig['tls']['clientCertificates']

export function peerOf(socket: unknown): Peer {
  if (!(socket instanceof TLSSocket)) return { certificate: 'none' }
  const certificate = socket.getPeerCertificate()
  // Node's way to say that none came.
  if (!certificate || Object.keys(certificate).length === 0) return { certificate: 'none' }
  if (!socket.authorized)
    return { certificate: 'untrusted', detail: String(socket.authorizationError ?? 'not verified') }
  const commonName: unknown = certificate.subject?.CN
  // A subject with two common names is two people at once.
  if (typeof commonName !== 'string')
    return { certificate: 'untrusted', detail: 'expected exactly one common name' }
  return { certificate: 'trusted', commonName }
}

/** Why this certificate does not let this device in; undefined: it does. The token is asked for besides. */
export function certificateFlaw(policy: string, peer: Peer, deviceId: string): string | undefined {
  if (policy === 'off') return undefined
  if (peer.certificate === 'untrusted') return `the client certificate is not trusted: ${peer.detail}`
  if (peer.certificate === 'none')
    return policy === 'required' ? 'this hub asks devices for a client certificate' : undefined
  if (peer.commonName === deviceId) return undefined
  return `the client certificate is of ${peer.commonName}, not of ${deviceId}`
}
