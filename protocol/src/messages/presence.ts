import Type, { type Static } from 'typebox'
import { Count, defineDocument, EpochMs, recordOf, Segment, Sha256Hex, VersionName } from '../schema.ts'

/** Retained, and the device's last will (SPEC 5.2). A will of an older connection cannot undo a newer birth. */
export const PresenceState = Type.Object({
  status: Type.Union([Type.Literal('online'), Type.Literal('sleeping'), Type.Literal('offline')]),
  bootId: Type.String({ maxLength: 64 }),
  /** Counts this device's connections, durable and strictly increasing. */
  connection: Count,
  at: EpochMs,
})
export type PresenceState = Static<typeof PresenceState>
export const presenceState = defineDocument('presence state', PresenceState)

/** Sent on every connect (SPEC 5.3): what this device is and holds. */
export const Birth = Type.Object({
  bootId: Type.String({ maxLength: 64 }),
  connection: Count,
  at: EpochMs,
  agentVersion: Type.String({ maxLength: 64 }),
  hardware: Type.Object({
    model: Type.String({ maxLength: 128 }),
    arch: Type.String({ maxLength: 32 }),
    os: Type.String({ maxLength: 128 }),
    cores: Count,
    memoryBytes: Count,
    diskFreeBytes: Count,
  }),
  runtime: Type.Object({
    name: Type.String({ maxLength: 64 }),
    version: Type.String({ maxLength: 64 }),
    executionProviders: Type.Array(Type.String({ maxLength: 32 }), { maxItems: 32 }),
    opsetMax: Count,
  }),
  slots: recordOf(Segment, Type.Object({ model: Segment, version: VersionName, releaseDigest: Sha256Hex })),
  metadata: Type.Object({ root: Count, timestamp: Count, snapshot: Count, targets: Count }),
  directiveVersion: Count,
})
export type Birth = Static<typeof Birth>
export const birth = defineDocument('birth', Birth)
