import { batchBytesMax, recordsPerBatchMax } from '@godwit/protocol/limits'
import {
  type Batch,
  batchSigningBytes,
  encodeBatch,
  encodeSealedBatch,
} from '@godwit/protocol/messages/telemetry'
import { sign } from '@godwit/protocol/trust/ed25519'
import type { DeviceKey } from '../identity.ts'

export type HeldRecord = { seq: number; bytes: number; body: unknown }

/** What every batch of a device says the same. */
export type BatchHead = Omit<Batch, 'v' | 'records'>

/** Room for key id, signature and CBOR's own bytes around the payload. */
const sealBytes = 512

/** How many records, from the first on, to try in one batch: JSON length is a fair guess at CBOR's. */
export function countForOneBatch(records: readonly HeldRecord[]): number {
  let bytes = sealBytes
  let count = 0
  for (const record of records.slice(0, recordsPerBatchMax)) {
    bytes += record.bytes
    if (bytes > batchBytesMax && count > 0) break
    count++
  }
  return count
}

/**
 * The largest signed batch that starts with the first record and fits the wire; undefined when even one record alone
 * does not. Guesses, encodes and halves, because only the encoder knows.
 */
export function sealLargest(
  head: BatchHead,
  records: readonly HeldRecord[],
  device: Pick<DeviceKey, 'seed' | 'keyid'>,
): { bytes: Uint8Array; last: number } | undefined {
  for (let count = countForOneBatch(records); count > 0; count = Math.floor(count / 2)) {
    const taken = records.slice(0, count)
    const payload = encodeBatch({ v: 1, ...head, records: taken.map(({ seq, body }) => ({ seq, body })) })
    if (payload.length + sealBytes > batchBytesMax) continue
    return { bytes: seal(payload, device), last: taken[count - 1]!.seq }
  }
  return undefined
}

/** A batch without records still tells the hub what was dropped. */
export function sealEmpty(head: BatchHead, device: Pick<DeviceKey, 'seed' | 'keyid'>): Uint8Array {
  return seal(encodeBatch({ v: 1, ...head, records: [] }), device)
}

function seal(payload: Uint8Array, device: Pick<DeviceKey, 'seed' | 'keyid'>): Uint8Array {
  return encodeSealedBatch({
    payload,
    keyid: device.keyid,
    sig: sign(device.seed, batchSigningBytes(payload)),
  })
}
