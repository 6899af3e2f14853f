import type { BundleFile } from '@godwit/protocol/release/release'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { DurationMs } from '@godwit/protocol/units'
import type { Wanted } from './plan.ts'

/** The release that a file is fetched for: a gateway fetches for its neighbours what it finds listed under this name. */
export type ReleaseName = { model: string; version: string; releaseDigest: string }

/**
 * Whom the bytes cost something. `link`: they go over the device's own link, and count against its budgets. `near`: they
 * come from next door. `none`: they are here already.
 */
export type Cost = 'link' | 'near' | 'none'

/** What a source is given to deliver into. */
export type Delivery = {
  file: BundleFile
  /** In order of position. */
  wanted: readonly Wanted[]
  release: ReleaseName
  /** Checks the block and keeps it; false for a wrong one. Nothing a source brings is believed. */
  take: (block: Wanted, bytes: Uint8Array) => Promise<boolean>
  /** Every byte that came for this, wanted or not, as soon as it is here. What is over the plan aborts `signal`. */
  received: (bytes: number) => void
  /** Bytes that may still come without breaking the plan. */
  room: () => number
  signal: AbortSignal
}

/** Where blocks come from. Ends when everything wanted was taken, or when it can bring no more for now. */
export type BlockSource = {
  readonly name: string
  readonly cost: Cost
  /** It speaks for nobody who is trusted more than others: one wrong block, and it is left aside. */
  readonly isStranger?: boolean
  /** All who want the same blocks are best served together, so it is asked at once and not after a spread. */
  readonly isShared?: boolean
  fetch(delivery: Delivery): Promise<SourceEnd>
}

/**
 * `retryable`: the same may work later, or elsewhere; `unreachable` says that nobody was there to refuse. Not so
 * `refused`: the source will not give it (5.5: the hub is asked again, and not this address).
 */
export type SourceEnd =
  | { end: 'complete' }
  | {
      end: 'retryable'
      code: ResultCode
      detail: string
      unreachable?: boolean
      /** What the source asked for (Retry-After). */
      retryAfterMs?: DurationMs
    }
  | { end: 'refused'; code: ResultCode; detail: string }
