import { verify, X509Certificate } from 'node:crypto'
import {
  type CertificateAnswer,
  type CertificateRequest,
  certificateProofBytes,
} from '@godwit/protocol/messages/certificate'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import type { Clock } from '../clock.ts'
import type { Device } from '../fleet/device.ts'
import type { Database } from '../store/database.ts'
import type { Audit } from '../trust/audit.ts'
import { type Authority, p256KeyOf } from './authority.ts'

export type DeviceCertificates = {
  /** @param device it has shown its token, so it is enrolled, not revoked, and holds the key on record */
  issue(device: Device, request: CertificateRequest): Promise<Verdict<CertificateAnswer>>
}

type Around = { authority: Authority; database: Database; clock: Clock; audit: Audit; fleetName: string }

/** A certificate says in TLS what the device has proved with its own key, for brokers and proxies that look no further. */
export function createDeviceCertificates(around: Around): DeviceCertificates {
  const { authority, database, clock, audit, fleetName } = around
  return {
    async issue({ id }, { publicKey, proof }) {
      const key = p256KeyOf(publicKey)
      if (!key) return refuse('malformed', 'expected the SPKI of a P-256 key in base64')
      const bytes = certificateProofBytes({ fleet: fleetName, deviceId: id, publicKey })
      // Without it a device could have its name put on the key of another party.
      if (!verify('sha256', bytes, key, Buffer.from(proof, 'base64')))
        return refuse(
          'bad-signature',
          'the proof is no signature by the key that shall be certified (SPEC 3.9)',
        )
      const certificate = await authority.issueClient(id, key, clock())
      const { serialNumber, validTo, validToDate } = new X509Certificate(certificate)
      const detail = { serialNumber: serialNumber.toLowerCase(), validTo }
      await database.transaction((trx) =>
        audit.append(trx, { who: `device:${id}`, action: 'device.certificate', subject: id, detail }),
      )
      return accept({ certificate, validTo: validToDate.toISOString() })
    },
  }
}
