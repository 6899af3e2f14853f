import { defineDocument, EpochMs, Segment, Sha256Hex } from '@godwit/protocol/schema'
import { type Signed, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import Type, { type Static } from 'typebox'

/**
 * The hub's word that the audit up to `lastId` is this one and no other. A hash chain alone can be written anew by
 * whoever holds the database; with this, they also need the director's key, and every export made before is evidence.
 */
const AuditCheckpoint = Type.Object({
  _type: Type.Literal('audit-checkpoint'),
  fleet: Segment,
  lastId: Type.Integer({ minimum: 1 }),
  /** Hash of that entry, and through it of all before. */
  hash: Sha256Hex,
  at: EpochMs,
})
export type AuditCheckpoint = Static<typeof AuditCheckpoint>
export const auditCheckpoint = defineDocument('audit checkpoint', AuditCheckpoint)

/** A signature costs a tenth of a millisecond, so a rollout over a thousand devices pays for a handful. */
export const checkpointEveryEntries = 256
/** What an intruder could still take back unseen: the deeds of the last minutes. Shorter fills the table on idle hubs. */
export const checkpointAfterMs = 5 * 60_000

export function signedCheckpoint(
  checkpoint: Omit<AuditCheckpoint, '_type'>,
  directorSeed: Uint8Array,
): Signed<AuditCheckpoint> {
  return signDocument({ _type: 'audit-checkpoint', ...checkpoint }, directorSeed, keyOfSeed(directorSeed))
}
