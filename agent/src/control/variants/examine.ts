import type { Trial } from '@godwit/protocol/messages/report'
import type { Release } from '@godwit/protocol/release/release'
import type { FromRunner } from '../../runner/messages.ts'
import type { Cage } from '../cage.ts'
import { type BenchEnergy, benchEnergy } from './bench-energy.ts'
import type { Loaded } from './launch.ts'
import type { ProveDeps } from './prove.ts'

type Tested = Extract<FromRunner, { type: 'tested' }>
type Figures = Omit<Trial, 'code' | 'detail'>

/**
 * Golden vectors, then time, memory and, if asked for and there is a meter, joules. The runner judges the answers; what
 * the release promises is judged here, by the party that is not the model's.
 *
 * @throws RunnerFailure when it does not answer, or wrong
 */
export async function examine(
  deps: Pick<ProveDeps, 'meter' | 'sysfs' | 'monotonicMs' | 'energyLabel'>,
  cage: Cage,
  { variant, loaded }: { variant: string; loaded: Loaded },
  promises: Release['promises'],
  withEnergy: boolean,
): Promise<{ trial: Trial; proof: string }> {
  const tested = await cage.selfTest()
  const meter = withEnergy ? deps.meter() : undefined
  const bench = (durationMs: number) => cage.bench(durationMs)
  const energy = meter && (await benchEnergy(meter, deps.sysfs, deps.monotonicMs, bench))
  const figures = figuresOf(variant, loaded, tested, energy)
  const broken = brokenPromise(figures, promises, deps.energyLabel)
  return { proof: tested.proof, trial: { ...figures, ...(broken ?? { code: 'ok' }) } }
}

function figuresOf(
  variant: string,
  { executionProvider, nodes }: Loaded,
  { p50Micros, p95Micros, cpuMicros, rssBytes }: Tested,
  energy: BenchEnergy | undefined,
): Figures {
  return {
    variant,
    executionProvider,
    ...(nodes && { nodes }),
    ...(p50Micros !== undefined && { p50Micros: Math.round(p50Micros) }),
    p95Micros: Math.round(p95Micros),
    memoryBytes: Math.round(rssBytes),
    ...(cpuMicros !== undefined && { cpuMicros: Math.round(cpuMicros) }),
    ...energy,
  }
}

/**
 * Which promise of the release these figures break, as the code and the words of a report. Joules refuse a model only
 * where they are known as well as the device's policy asks for: an assumption never does.
 */
export function brokenPromise(
  { p95Micros = 0, memoryBytes = 0, energyMicrojoules, energyLabel: label, energySource }: Partial<Figures>,
  promises: Release['promises'],
  worstLabel: 'measured' | 'modelled',
): Pick<Trial, 'code' | 'detail'> | undefined {
  if (promises.p95Micros !== undefined && p95Micros > promises.p95Micros)
    return { code: 'selftest_latency', detail: `p95 ${p95Micros} µs, promised ${promises.p95Micros} µs` }
  if (promises.memoryBytes !== undefined && memoryBytes > promises.memoryBytes)
    return { code: 'selftest_memory', detail: `${memoryBytes} bytes, promised ${promises.memoryBytes}` }
  const isKnownWell = label === 'measured' || (label === 'modelled' && worstLabel === 'modelled')
  if (promises.energyMillijoules === undefined || energyMicrojoules === undefined || !isKnownWell)
    return undefined
  if (energyMicrojoules <= promises.energyMillijoules * 1_000) return undefined
  const found = `${energyMicrojoules / 1_000} mJ an inference (${label}, ${energySource})`
  return { code: 'selftest_energy', detail: `${found}, promised ${promises.energyMillijoules} mJ` }
}
