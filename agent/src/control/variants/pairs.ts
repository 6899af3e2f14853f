import type { Release, Variant } from '@godwit/protocol/release/release'
import type { EngineName } from '../engine.ts'

/** One thing to try: a variant on an execution provider, by the name that a session is asked by. */
export type Pair = { variant: Variant; executionProvider: string }

/** So many are tried at most; each costs a process start and some seconds. */
export const pairsMax = 16

/**
 * What a device's policy allows of a release: its own order of execution providers first, the publisher's order of
 * variants within. The wasm engine does a CPU's work, so it stands in for `cpu` and for nothing else.
 *
 * @param executionProviders the slot's, in order of preference
 */
export function pairsOf(
  { variants }: Pick<Release, 'variants'>,
  executionProviders: readonly string[],
  engine: EngineName,
): Pair[] {
  const pairs = [...new Set(executionProviders)].flatMap((executionProvider) =>
    variants
      .filter((variant) => isMadeFor(variant, executionProvider))
      .map((variant) => ({ variant, executionProvider: nameOn(engine, executionProvider) })),
  )
  const isFirst = ({ variant, executionProvider }: Pair, index: number) =>
    pairs.findIndex((other) => other.variant === variant && other.executionProvider === executionProvider) ===
    index
  return pairs.filter(isFirst).slice(0, pairsMax)
}

/** Whether a device with this policy could run any of a release's variants. */
export function hasVariantFor(
  release: Pick<Release, 'variants'>,
  executionProviders: readonly string[],
): boolean {
  return pairsOf(release, executionProviders, 'native').length > 0
}

function isMadeFor({ executionProviders }: Variant, asked: string): boolean {
  return executionProviders.includes(asked) || (asked === 'wasm' && executionProviders.includes('cpu'))
}

function nameOn(engine: EngineName, executionProvider: string): string {
  return engine === 'wasm' && executionProvider === 'cpu' ? 'wasm' : executionProvider
}
