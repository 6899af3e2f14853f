import {
  type Batch,
  batchSigningBytes,
  decodeBatch,
  decodeSealedBatch,
} from '@godwit/protocol/messages/telemetry'
import type { Stream } from '@godwit/protocol/topics'
import { verify } from '@godwit/protocol/trust/ed25519'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { ed25519Key, keyIdOf } from '@godwit/protocol/trust/key'

export type BatchRefusal = 'malformed' | 'bad_signature' | 'wrong_topic'
export type OpenedBatch = { ok: true; batch: Batch } | { ok: false; because: BatchRefusal; detail: string }

/** Where a batch came from, as the broker and the enrolment know it: what the batch says of itself must agree. */
export type Sender = {
  fleet: string
  deviceId: string
  stream: Stream /** 64 hex digits. */
  publicKey: string
}

/** A sealed batch is believed only after its signature, and then only about its own device and stream. */
export function openBatch(bytes: Uint8Array, sender: Sender): OpenedBatch {
  const sealed = decodeSealedBatch(bytes)
  if (!sealed.ok) return refuse('malformed', sealed.detail)
  const publicKey = fromHex(sender.publicKey)
  const { payload, keyid, sig } = sealed.value
  if (!publicKey || keyid !== keyIdOf(ed25519Key(publicKey)))
    return refuse('bad_signature', `batch: expected the key of ${sender.deviceId}, found key id ${keyid}`)
  if (!verify(publicKey, batchSigningBytes(payload), sig))
    return refuse('bad_signature', `batch: not signed by the key of ${sender.deviceId}`)
  const decoded = decodeBatch(payload)
  if (!decoded.ok) return refuse('malformed', decoded.detail)
  const batch = decoded.value
  for (const field of ['fleet', 'deviceId', 'stream'] as const)
    if (batch[field] !== sender[field])
      return refuse('wrong_topic', `batch: ${field} is ${batch[field]} on a topic of ${sender[field]}`)
  const numbers = [
    batch.base,
    ...batch.dropped.flatMap((range) => range.slice(0, 2)),
    ...batch.records.map(({ seq }) => seq),
  ]
  // Numbers beyond 2^53 are integers to a schema and no longer count by ones.
  if (!numbers.every(Number.isSafeInteger)) return refuse('malformed', 'batch: a sequence number beyond 2^53')
  return { ok: true, batch }
}

function refuse(because: BatchRefusal, detail: string): OpenedBatch {
  return { ok: false, because, detail }
}
