import type { EpochMs } from '@godwit/protocol/units'
import { hasFailed } from './deployment.ts'
import { type Deployments, ofWave } from './deployments.ts'
import { type GateVerdict, wordOf } from './judge.ts'
import type { WavePlan } from './plan.ts'

export const waveStates = [
  'pending',
  'awaiting_approval',
  'open',
  'soaking',
  'judging',
  'passed',
  'held',
  'failed',
] as const
export type WaveState = (typeof waveStates)[number]

export type Wave = {
  readonly name: string
  readonly state: WaveState
  readonly since: EpochMs
  /** Evidence counts from here: the wave's opening, or the operator's last resume after a failure. */
  readonly judgedFrom: EpochMs
  /** Devices whose failure that resume overruled. By name: a clock that jumps back must not overrule anybody's. */
  readonly overruled: readonly string[]
  readonly gates: readonly GateVerdict[]
}

/** Nobody of it has been told yet. */
export function isClosed({ state }: Pick<Wave, 'state'>): boolean {
  return state === 'pending' || state === 'awaiting_approval'
}

/** Where an opened wave goes from here; its own state when it stays. The machine of one wave, beside the rollout's. */
export function nextState(
  { state, since, gates }: Wave,
  { soakMs }: Pick<WavePlan, 'soakMs'>,
  isAtWork: boolean,
  at: EpochMs,
): WaveState {
  const word = wordOf(gates)
  // Failing early is safe; passing early is not.
  if (word === 'fail') return 'failed'
  if (isAtWork) return 'open'
  if (state === 'open') return 'soaking'
  if (state === 'soaking') return at - since < soakMs ? 'soaking' : 'judging'
  // Missing data holds; nothing but evidence, or an operator, moves it on.
  return word === 'pass' ? 'passed' : 'held'
}

/** Resuming overrules what failed: the wave is soaked and judged anew, on what happens from now on. */
export function forgiven(waves: readonly Wave[], deployments: Deployments, at: EpochMs): Wave[] {
  return waves.map((wave, index): Wave => {
    if (wave.state !== 'failed') return wave
    const overruled = ofWave(deployments, index)
      .filter(hasFailed)
      .map(({ deviceId }) => deviceId)
    return { ...wave, state: 'soaking', since: at, judgedFrom: at, overruled, gates: [] }
  })
}
