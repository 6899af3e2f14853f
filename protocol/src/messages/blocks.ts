import Type, { type Static } from 'typebox'
import { blocksPerRequestMax } from '../limits.ts'
import { defineDocument, Sha256Hex } from '../schema.ts'

/**
 * Asks the hub to publish blocks, each on the topic of its own digest (SPEC 4.4). The device subscribes to those
 * topics first. Blocks are named by position too, because the hub reads them out of the file.
 */
export const BlockRequest = Type.Object({
  blob: Sha256Hex,
  blockBytes: Type.Integer({ minimum: 1 }),
  blocks: Type.Array(Type.Object({ index: Type.Integer({ minimum: 0 }), sha256: Sha256Hex }), {
    minItems: 1,
    maxItems: blocksPerRequestMax,
  }),
  /** They were asked for before and did not come: the hub sends them even if it thinks that they are under way. */
  again: Type.Optional(Type.Boolean()),
})
export type BlockRequest = Static<typeof BlockRequest>
export const blockRequest = defineDocument('block request', BlockRequest)

/** Why the hub will not publish what was asked for. */
export const BlockRefusal = Type.Object({
  blob: Sha256Hex,
  code: Type.Union([Type.Literal('not_found'), Type.Literal('not_listed'), Type.Literal('malformed')]),
  detail: Type.String({ maxLength: 512 }),
})
export type BlockRefusal = Static<typeof BlockRefusal>
export const blockRefusal = defineDocument('block refusal', BlockRefusal)
