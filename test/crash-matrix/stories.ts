import type { ProbationPolicy, SlotGoal } from '@godwit/protocol/messages/directive'
import type { ResultCode } from '@godwit/protocol/result-code'
import { bundleOf, identityGolden, identityModel } from '../hub/support/bundle.ts'
import type { MatrixHub } from './matrix-hub.ts'
import type { Engine } from './victim-messages.ts'

/**
 * What a device is in the middle of when the harm is done. `before` is lived once, unharmed, into a state directory that
 * every cell starts from a copy of; `asked` is what the hub then wants.
 */
export type Story = {
  name: string
  title: string
  /** Releases that the device ran before, in order; empty: a device that has not even joined. */
  before: readonly ReleaseName[]
  /** How the life before ended: a copy of a killed agent's directory begins with a write-ahead log to recover. */
  beforeEnded: 'stopped' | 'killed'
  asked: ReleaseName
  outcome: Ending
  /** Where a real runner is the judge and another code comes of it. */
  onnxOutcome?: Ending
}

export type Ending = { phase: 'committed' | 'refused' | 'rolled_back'; code: ResultCode }

export type ReleaseName = '1' | '2' | '2-wrong' | '2-failing'

export const stories: readonly Story[] = [
  {
    name: 'first',
    title: 'a device with an empty disk joins the fleet and installs its first release',
    before: [],
    beforeEnded: 'stopped',
    asked: '1',
    outcome: { phase: 'committed', code: 'ok' },
  },
  {
    name: 'commit',
    title: 'an update that passes its self-test and its probation',
    before: ['1'],
    beforeEnded: 'stopped',
    asked: '2',
    outcome: { phase: 'committed', code: 'ok' },
  },
  {
    name: 'refused',
    title: 'an update that fails its self-test, after a power cut',
    before: ['1'],
    beforeEnded: 'killed',
    asked: '2-wrong',
    outcome: { phase: 'refused', code: 'selftest_accuracy' },
  },
  {
    name: 'rollback',
    title: 'an update that fails its probation and is rolled back',
    before: ['1'],
    beforeEnded: 'stopped',
    asked: '2-failing',
    outcome: { phase: 'rolled_back', code: 'probation_error_rate' },
    // No model that passes its golden vectors fails an inference on purpose; any is slower than no time at all.
    onnxOutcome: { phase: 'rolled_back', code: 'probation_latency' },
  },
]

/** Short: two windows and a moment. The matrix is about the disk. */
const probation: ProbationPolicy = {
  durationMs: 300,
  inferences: 15,
  errorsPerMillionMax: 50_000,
  crashesMax: 0,
}

/** The model file is more than a block, so that the part file is written in several calls. */
const paddingBytes = 150_000

const behaviours: Record<ReleaseName, object> = {
  '1': {},
  '2': {},
  '2-wrong': { test: 'wrong' },
  '2-failing': { errors: true },
}

/** The same release, to the byte, from every hub that published the same ones before. */
export function publish(hub: MatrixHub, name: ReleaseName, engine: Engine): SlotGoal {
  if (engine === 'light')
    return { ...hub.hub.publishRelease(name, { behaviour: behaviours[name], paddingBytes }), probation }
  const wrong = {
    ...identityGolden,
    cases: identityGolden.cases.map(({ inputs }) => ({ inputs, outputs: inputs })),
  }
  for (const { outputs } of wrong.cases)
    Object.assign(outputs, { score: { ...outputs['window'], data: [0, 0, 0, 0] } })
  const { release, bytes, files } = bundleOf(
    { version: name, releaseCounter: hub.nextReleaseCounter() },
    {
      'model.onnx': identityModel({ name }),
      ...(name === '2-wrong' && { 'golden.json': Buffer.from(JSON.stringify(wrong)) }),
    },
  )
  const goal = hub.publishBundle(release, bytes, files)
  const p95MicrosMax = 1
  return { ...goal, probation: { ...probation, ...(name === '2-failing' && { p95MicrosMax }) } }
}

export function endingOf({ outcome, onnxOutcome }: Story, engine: Engine): Ending {
  return engine === 'onnx' ? (onnxOutcome ?? outcome) : outcome
}
