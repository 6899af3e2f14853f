import { enrolmentProofBytes } from '@godwit/protocol/messages/enrolment'
import {
  type Batch,
  batchSigningBytes,
  encodeBatch,
  encodeSealedBatch,
} from '@godwit/protocol/messages/telemetry'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalText } from '@godwit/protocol/trust/canonical'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { fromHex, toHex, utf8 } from '@godwit/protocol/trust/encoding'
import { directive, failure, report, rotation, sealed, timestamp } from './documents.ts'
import { type KeyName, keyNamed, seedOf, signatureBy } from './keys.ts'

function message(
  named: { name: string; clause: string; signedBy: KeyName[] },
  document: object,
  signedText: string,
  wire: string,
) {
  const signatures = named.signedBy.map((who) => signatureBy(who, signedText))
  const sha256 = sha256Hex(utf8(signedText))
  return { ...named, document, signedText, sha256, signatures, wire, wireSha256: sha256Hex(utf8(wire)) }
}

const envelope = (name: string, clause: string, document: object, ...signedBy: KeyName[]) =>
  message({ name, clause, signedBy }, document, canonicalText(document), sealed(document, ...signedBy))

function deviceToken() {
  const claim = {
    ...{ fleet: 'plant', deviceId: 'cam-7', audience: 'mqtt' as const },
    ...{ issuedAt: 1793534400000, expiresAt: 1793535300000 },
  }
  const document = { _type: 'device-token', ...claim }
  const wire = mintDeviceToken(claim, seedOf('device'))
  const named = { name: 'device token', clause: '3.4', signedBy: ['device' as const] }
  return message(named, document, canonicalText(document), wire)
}

function enrolmentProof(name: string, request: { token?: string; publicKey: string; deviceId?: string }) {
  const signedText = new TextDecoder().decode(enrolmentProofBytes(request))
  const document = { ...request, proof: signatureBy('device', signedText) }
  return message(
    { name, clause: '3.2', signedBy: ['device'] },
    document,
    signedText,
    JSON.stringify(document),
  )
}

function sealedBatch() {
  const detail = { value: 3 }
  const body = { kind: 'anomaly', key: 'a1', at: 1793534400000, severity: 'warning', detail } as const
  const document: Batch = {
    ...{ v: 1, fleet: 'plant', deviceId: 'cam-7', session: 'session-1', stream: 'event', base: 1 },
    dropped: [[2, 3]],
    records: [{ seq: 4, body }],
  }
  const payload = encodeBatch(document)
  const signed = batchSigningBytes(payload)
  const signature = signatureBy('device', signed)
  const { keyid } = keyNamed('device')
  const wire = encodeSealedBatch({ payload, keyid, sig: fromHex(signature)! })
  return {
    ...{ name: 'sealed batch', clause: '7.1', signedBy: ['device'], document },
    ...{ signedHex: toHex(signed), sha256: sha256Hex(signed), signatures: [signature] },
    ...{ wireHex: toHex(wire), wireSha256: sha256Hex(wire) },
  }
}

export function messagesVectors() {
  const { publicKey } = keyNamed('device')
  const request = { token: 'secret-of-a-join-token', publicKey, deviceId: 'cam-7' }
  return {
    about:
      'Golden messages: the document, the exact bytes that are signed (signedText as UTF-8, or signedHex), their SHA-256, the signatures in hexadecimal, and what travels (wire as UTF-8, or wireHex). Keys by their names in keys.json.',
    messages: [
      envelope('directive', '6.1', directive, 'director'),
      envelope('report', '6.6', report, 'device'),
      envelope('report of a failure in two lines', '6.6', failure, 'device'),
      envelope('timestamp', '3.3', timestamp, 'director'),
      envelope('key rotation', '3.6', rotation, 'device', 'publisher'),
      deviceToken(),
      enrolmentProof('enrolment proof', request),
      enrolmentProof('enrolment proof without a token and without a name', { publicKey }),
      sealedBatch(),
    ],
  }
}
