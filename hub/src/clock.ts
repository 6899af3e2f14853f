import type { EpochMs } from '@godwit/protocol/units'

/** The hub's "now". An argument everywhere, so that tests turn the clock by hand. */
export type Clock = () => EpochMs
