import type { BundleFile } from '@godwit/protocol/release/release'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { Wanted } from './plan.ts'

/**
 * Where blocks come from. Nothing it brings is believed: `take` checks each one and returns false for a wrong one.
 * Ends when everything wanted was taken, or when it can bring no more for now.
 */
export type BlockSource = {
  readonly name: string
  fetch(
    file: BundleFile,
    wanted: readonly Wanted[],
    take: (block: Wanted, bytes: Uint8Array) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<SourceEnd>
}

/** `retryable`: the same may work later, or elsewhere. Not so `refused`: the source will not give it. */
export type SourceEnd =
  | { end: 'complete' }
  | { end: 'retryable'; code: ResultCode; detail: string }
  | { end: 'refused'; code: ResultCode; detail: string }
