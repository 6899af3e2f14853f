import { batchBytesMax } from '@godwit/protocol/limits'
import {
  batchSigningBytes,
  checkBody,
  decodeBatch,
  decodeSealedBatch,
  encodeBatch,
  encodeSealedBatch,
  latencyBucketMicros,
  type WindowRecord,
} from '@godwit/protocol/messages/telemetry'
import { encode } from 'cborg'
import { describe, expect, test } from 'vitest'

const batch = {
  v: 1 as const,
  fleet: 'f',
  deviceId: 'a',
  session: '01234567-89ab',
  stream: 'event' as const,
  base: 3,
  dropped: [[1, 2]] as [number, number][],
  records: [{ seq: 3, body: { any: 'thing' } }],
}

const window: WindowRecord = {
  slot: 'default',
  model: 'm',
  version: 'v1',
  releaseDigest: '0'.repeat(64),
  start: 1,
  end: 2,
  readings: 3,
  inferences: 2,
  errors: 0,
  warmUp: 1,
  anomalies: 0,
  latency: { counts: new Array(latencyBucketMicros.length + 1).fill(0), sumMicros: 12.5 },
  drift: [{ index: 0, features: { score: { counts: [1, 2], repeat: 0, missing: 0, outside: 0 } } }],
}

describe('a sealed batch', () => {
  const sealed = { payload: encodeBatch(batch), keyid: 'ab'.repeat(32), sig: new Uint8Array(64) }

  test('comes back as it was sent', () => {
    const outer = decodeSealedBatch(encodeSealedBatch(sealed))
    expect(outer).toMatchObject({ ok: true })
    expect(decodeBatch(sealed.payload)).toEqual({ ok: true, value: batch })
  })

  test('signs something else than its payload, so that no other document can pose as one', () => {
    expect(new TextDecoder().decode(batchSigningBytes(new Uint8Array()))).toBe('godwit-batch/1\n')
  })

  test('is refused in words when it is cut off, no CBOR, too large or of the wrong shape', () => {
    const bytes = encodeSealedBatch(sealed)
    expect(decodeSealedBatch(bytes.subarray(0, bytes.length - 1))).toMatchObject({ ok: false })
    expect(decodeSealedBatch(new TextEncoder().encode('{"payload":1}'))).toMatchObject({ ok: false })
    expect(decodeSealedBatch(new Uint8Array(batchBytesMax + 1))).toMatchObject({
      ok: false,
      detail: expect.stringContaining(`at most ${batchBytesMax}`),
    })
    expect(
      decodeSealedBatch(encode({ payload: 'text', keyid: sealed.keyid, sig: sealed.sig })),
    ).toMatchObject({ ok: false })
    expect(decodeBatch(encode({ ...batch, base: 0 }))).toMatchObject({ ok: false })
    expect(decodeBatch(encode({ ...batch, stream: 'gossip' }))).toMatchObject({ ok: false })
  })

  test('with an integer that counts no longer by ones is refused whole: nobody could store it', () => {
    const records = [{ seq: 3, body: { any: 2n ** 53n } }]
    expect(decodeBatch(encode({ ...batch, records }))).toMatchObject({ ok: false })
    const largest = [{ seq: 3, body: { any: 2 ** 53 - 1 } }]
    expect(decodeBatch(encode({ ...batch, records: largest }))).toMatchObject({ ok: true })
  })
})

describe('a record', () => {
  test('is checked by its stream', () => {
    expect(checkBody('window', window)).toMatchObject({ ok: true })
    expect(checkBody('event', window)).toMatchObject({ ok: false })
  })

  test('with a negative count, a fraction of an inference, or joules that are negative or beyond any device is refused', () => {
    expect(checkBody('window', { ...window, errors: -1 })).toMatchObject({ ok: false })
    expect(checkBody('window', { ...window, inferences: 1.5 })).toMatchObject({ ok: false })
    const energy = {
      joules: -1,
      idleShareJoules: 0,
      unattributedJoules: 0,
      label: 'assumed',
      source: 's',
      scope: 'device',
      coverage: 1,
      sigmaFactor: 3,
      cpuMs: 1,
    }
    expect(checkBody('window', { ...window, energy })).toMatchObject({ ok: false })
    expect(checkBody('window', { ...window, energy: { ...energy, joules: 2e12 } })).toMatchObject({
      ok: false,
    })
    expect(checkBody('window', { ...window, energy: { ...energy, joules: 1 } })).toMatchObject({ ok: true })
    expect(
      checkBody('window', { ...window, energy: { ...energy, joules: 1, label: 'guessed' } }),
    ).toMatchObject({ ok: false })
  })

  test('with fields that we do not know yet is taken', () => {
    expect(checkBody('window', { ...window, fromTheFuture: 1 })).toMatchObject({ ok: true })
  })
})
