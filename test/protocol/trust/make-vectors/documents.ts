import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalText } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope } from '@godwit/protocol/trust/envelope'
import { type KeyName, keyNamed, signatureBy } from './keys.ts'

/** Of nothing that exists: a digest that a reader can make again. */
const digestOf = (text: string) => sha256Hex(utf8(text))

const goal = {
  model: 'gauge-reader',
  version: '4.0.0',
  releaseDigest: digestOf('release'),
  releaseBytes: 1834,
  probation: { durationMs: 60000, inferences: 20, errorsPerMillionMax: 50000, crashesMax: 0 },
}
export const directive = {
  _type: 'directive',
  specVersion: 1,
  fleet: 'plant',
  deviceId: 'cam-7',
  version: 5,
  issued: '2026-11-01T12:00:00.000Z',
  expires: '2026-12-01T12:00:00.000Z',
  slots: { default: goal },
  telemetry: { windowMs: 60000 },
}
const ref = { model: goal.model, version: goal.version, releaseDigest: goal.releaseDigest }
export const report = {
  _type: 'report',
  specVersion: 1,
  fleet: 'plant',
  deviceId: 'cam-7',
  session: '0d3c1f2e-8a52-4d4e-9a3b-6f6f2f1f0c11',
  reportVersion: 12,
  directiveVersion: 5,
  at: 1793534500000,
  slots: {
    default: {
      phase: 'committed',
      target: ref,
      attempt: 1,
      code: 'ok',
      answered: 5,
      active: {
        ...ref,
        variant: 'int8',
        since: 1793534400000,
        executionProvider: 'cpu',
        loadedDigest: digestOf('model file'),
        proof: digestOf('proof'),
      },
    },
  },
  quarantine: [],
  free: { diskBytes: 1000000000, memoryBytes: 500000000 },
  clock: { skewMs: -250, floor: 1793534400000 },
}
export const timestamp = {
  _type: 'timestamp',
  spec_version: '1.0.31',
  version: 9,
  expires: '2026-11-02T12:00:00Z',
  godwit_issued: '2026-11-01T12:00:00Z',
  meta: { 'snapshot.json': { version: 4, length: 612, hashes: { sha256: digestOf('snapshot') } } },
}
export const rotation = {
  _type: 'key-rotation',
  specVersion: 1,
  fleet: 'plant',
  deviceId: 'cam-7',
  previousKeyid: keyNamed('device').keyid,
  publicKey: keyNamed('publisher').publicKey,
  issuedAt: 1793534400000,
}

export const failure = {
  ...report,
  reportVersion: 13,
  slots: {
    default: {
      phase: 'refused',
      target: ref,
      attempt: 3,
      code: 'selftest_load',
      detail: 'cannot load int8.onnx:\n\tno opset "ai.onnx" 99',
      answered: 5,
    },
  },
}

/** What travels, as text. */
export function sealed(document: object, ...by: KeyName[]): string {
  const signatures = by.map((name) => ({
    keyid: keyNamed(name).keyid,
    sig: signatureBy(name, canonicalText(document)),
  }))
  return new TextDecoder().decode(encodeEnvelope({ signed: document, signatures }))
}
