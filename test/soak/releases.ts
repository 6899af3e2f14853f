import { identityGolden, identityModel } from '../hub/support/bundle.ts'
import type { Dice } from '../support/dice.ts'
import { eventually, model } from '../support/fleet-in-a-box.ts'
import { largeModel } from '../support/identity-bundle.ts'
import type { World } from './world.ts'

/** `wrong` fails its golden vectors, `slow` its probation; the others are good. */
export const kinds = ['good', 'good', 'large', 'wrong', 'slow', 'taken back', 'called off'] as const
export type Kind = (typeof kinds)[number]

export type Published = { version: string; kind: Kind; releaseDigest: string; rolloutIds: string[] }

const wave = { soakMs: 300, minSample: 20, successShare: 0.5, deadlineMs: 60_000, gates: [] }
const probation = { durationMs: 1_000, inferences: 40, crashesMax: 0 }
/** Any model is slower than no time at all. */
const hopeless = { ...probation, p95MicrosMax: 1 }

function planFor(kind: Kind, dice: Dice): object {
  const rest = { ...wave, name: 'rest', size: { rest: true } }
  const canary = { ...wave, name: 'canary', size: { count: 1 } }
  return {
    probation: kind === 'slow' ? hopeless : probation,
    windowMs: 600,
    onFailure: dice.pick(['pause', 'rollback']),
    waves: dice.roll() < 0.5 ? [rest] : [canary, rest],
  }
}

function filesOf(kind: Kind, version: string): Record<string, Uint8Array | string> {
  if (kind === 'large') return { 'model.onnx': largeModel(2_000_000, Number(version)) }
  const files = { 'model.onnx': identityModel({ name: `identity ${version}` }) }
  if (kind !== 'wrong') return files
  const cases = identityGolden.cases.map(({ inputs, outputs }) => ({
    inputs,
    outputs: { score: { ...outputs['score']!, data: [4, 3, 2, 1] } },
  }))
  return { ...files, 'golden.json': JSON.stringify({ ...identityGolden, cases }) }
}

/** Publishes it, whatever happens to the hub meanwhile: another try takes another number. */
export async function publish(world: World, kind: Kind, nextVersion: () => string): Promise<Published> {
  return eventually(
    `a ${kind} release to be published`,
    async () => {
      const version = nextVersion()
      await world.box.publish(version, filesOf(kind, version))
      const path = `/api/v1/models/${model}/versions/${version}`
      const { releaseDigest } = await world.box.stage.hub.get<{ releaseDigest: string }>(path)
      return { version, kind, releaseDigest, rolloutIds: [] }
    },
    { withinMs: 120_000 },
  )
}

/** The same request until it was heard: its idempotency key makes it one rollout. */
export async function rollOut(world: World, release: Published, plan: object): Promise<string> {
  const key = `soak-${release.version}-${release.rolloutIds.length}`
  const { id } = await eventually(
    `version ${release.version} to be rolled out`,
    () =>
      world.box.stage.hub.post<{ id: string }>(
        '/api/v1/rollouts',
        { model, version: release.version, plan },
        { 'idempotency-key': key },
      ),
    { withinMs: 60_000 },
  )
  release.rolloutIds.push(id)
  return id
}

export const resting: ReadonlySet<string> = new Set(['completed', 'aborted', 'rolled_back'])

/** Rolls a release out, and does to the rollout what its kind says, until it rests. Returns how that ended. */
export async function live(world: World, release: Published, dice: Dice): Promise<string> {
  const id = await rollOut(world, release, planFor(release.kind, dice))
  const phaseNow = async () => (await world.box.observe.rollout(id)).phase
  const act = (action: string) =>
    world.box.stage.hub.post(`/api/v1/rollouts/${id}/${action}`, { reason: 'soak' }).catch(() => {})
  let isTakenBack = false
  if (release.kind === 'called off') {
    await new Promise((resolve) => setTimeout(resolve, dice.whole(0, 5_000)))
    await act('abort')
  }
  const giveUpAt = performance.now() + 45_000
  return eventually(
    `the rollout of ${release.version} to rest`,
    async () => {
      const phase = await phaseNow()
      if (phase === 'completed' && release.kind === 'taken back' && !isTakenBack) {
        isTakenBack = true
        await act('rollback')
        return undefined
      }
      if (resting.has(phase)) return phase
      if (phase === 'paused') await act(dice.pick(['abort', 'rollback']))
      else if (phase !== 'rolling_back' && performance.now() > giveUpAt) await act('abort')
      return undefined
    },
    { withinMs: 200_000, everyMs: 300 },
  )
}
