import type { ChoiceGround, Trial } from '@godwit/protocol/messages/report'

/** What a slot wants of its model: `order` takes the first that passes and compares nothing. */
export const preferences = ['latency', 'energy', 'memory', 'order'] as const
export type Preference = (typeof preferences)[number]

export type Chosen = { index: number; by: ChoiceGround; why: string }

/** Two figures of one machine that lie closer than this are the same: then the order decides, and does so every time. */
const sameWithin = 0.05

/**
 * The best of those that passed, by what the slot prefers; undefined when none did. Joules are compared only where all
 * were read by one meter. Where they were not, CPU time stands in for them, if it is CPUs that all of them ran on.
 *
 * @param trials in order of preference, for those that are equally good
 */
export function choose(trials: readonly Trial[], prefer: Preference): Chosen | undefined {
  const passed = trials.filter(({ code }) => code === 'ok')
  const [first] = passed
  if (!first) return undefined
  const at = (trial: Trial) => trials.indexOf(trial)
  if (passed.length === 1) return { index: at(first), by: 'only', why: onlyOne(first, trials.length) }
  if (prefer === 'order')
    return { index: at(first), by: 'order', why: `${nameOf(first)}: the first that passes` }
  const { by, figureOf, unit } = yardstick(passed, prefer)
  const least = Math.min(...passed.map(figureOf))
  const winner = passed.find((trial) => figureOf(trial) <= least * (1 + sameWithin)) ?? first
  const others = passed.filter((trial) => trial !== winner)
  const compared = others.map((trial) => `${nameOf(trial)} ${figureOf(trial)} ${unit}`).join(', ')
  const because = figureOf(winner) > least ? ', which is as good, and comes first' : ''
  const why = `${nameOf(winner)}: ${by} ${figureOf(winner)} ${unit}, against ${compared}${because}`
  return { index: at(winner), by, why: why.slice(0, 512) }
}

export function nameOf({ variant, executionProvider }: Pick<Trial, 'variant' | 'executionProvider'>): string {
  return `${variant} on ${executionProvider}`
}

type Yardstick = { by: ChoiceGround; figureOf: (trial: Trial) => number; unit: string }

const unknown = Number.POSITIVE_INFINITY
const latency: Yardstick = {
  by: 'latency',
  figureOf: (of) => of.p50Micros ?? of.p95Micros ?? unknown,
  unit: 'µs',
}
const memory: Yardstick = {
  by: 'memory',
  figureOf: ({ memoryBytes }) => memoryBytes ?? unknown,
  unit: 'bytes',
}
const energy: Yardstick = { by: 'energy', figureOf: ({ energyMicrojoules: e }) => e ?? unknown, unit: 'µJ' }
const cpu: Yardstick = { by: 'cpu', figureOf: ({ cpuMicros }) => cpuMicros ?? unknown, unit: 'µs of CPU' }

function yardstick(passed: readonly Trial[], prefer: Preference): Yardstick {
  if (prefer === 'memory') return memory
  if (prefer !== 'energy') return latency
  const sources = new Set(passed.map(({ energySource, energyLabel }) => `${energySource} ${energyLabel}`))
  if (sources.size === 1 && passed.every((trial) => trial.energyMicrojoules !== undefined)) return energy
  const isCpu = ({ executionProvider: ep }: Trial) => ep === 'cpu' || ep === 'wasm'
  return passed.every((trial) => isCpu(trial) && trial.cpuMicros !== undefined) ? cpu : latency
}

function onlyOne(trial: Trial, count: number): string {
  return count === 1
    ? `${nameOf(trial)}: the only one for this device`
    : `${nameOf(trial)}: the only one of ${count} that passes`
}
