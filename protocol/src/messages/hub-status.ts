import Type, { type Static } from 'typebox'
import { Count, defineDocument, Rfc3339 } from '../schema.ts'

/** Retained by the hub (SPEC 5.1): agents send telemetry while the hub is there, not just the broker. */
export const HubStatus = Type.Object({
  status: Type.Union([Type.Literal('online'), Type.Literal('offline')]),
  /** Changes at each start of the hub; a new epoch makes agents send their birth and what was not acked. */
  epoch: Type.String({ maxLength: 64 }),
  time: Rfc3339,
  /** Agents spread their reconnection over this many milliseconds (thundering herd). */
  retryAfterMs: Type.Optional(Count),
  /** Devices begin a download some time within this many milliseconds. Unsigned, so they wait an hour at most. */
  downloadSpreadMs: Type.Optional(Count),
})
export type HubStatus = Static<typeof HubStatus>
export const hubStatus = defineDocument('hub status', HubStatus)
