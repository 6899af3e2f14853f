import { Dice } from '../support/dice.ts'
import { allAtOnce, eventually } from '../support/fleet-in-a-box.ts'
import { hubPlugs, type Plug, plugs } from './plugs.ts'
import { type Kind, kinds, live, type Published, publish, resting, rollOut } from './releases.ts'
import { verdictOn } from './verdict.ts'
import type { Victim, World } from './world.ts'

export type Wish = { minutes: number; seed: number; tell: (line: string) => void }

/** What it came to: everything that is wrong, and how much was done. */
export type Soaked = { wrong: string[]; pulled: number; releases: number }

/**
 * Rolls releases out, good and bad, while plugs are pulled at random; then leaves everything alone, rolls out one more,
 * and looks. Releases and plugs have dice of their own, so that neither's speed changes what the other does.
 */
export async function soak(world: World, { minutes, seed, tell }: Wish): Promise<Soaked> {
  const wrong: string[] = []
  const releases: Published[] = []
  let pulled = 0
  let versions = 0
  const nextVersion = () => String(++versions)
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(), minutes * 60_000)
  const hold = holdUntil(over.signal)

  async function rollouts(): Promise<void> {
    const dice = new Dice(seed)
    while (!over.signal.aborted) {
      // The first is good: a device without a model has nothing to lose.
      const kind: Kind = releases.length === 0 ? 'good' : dice.pick(kinds)
      const release = await publish(world, kind, nextVersion)
      releases.push(release)
      tell(`rollout of ${release.version}, ${kind}`)
      const phase = await live(world, release, dice)
      tell(`rollout of ${release.version} is ${phase}`)
      await hold(dice.whole(0, 2_000))
    }
  }

  async function pull(victim: Victim, plug: Plug, dice: Dice): Promise<void> {
    victim.busy.add(plug.kind)
    tell(`${victim.device.id}: ${plug.name}`)
    const how = await plug.pull(victim, dice, hold)
    tell(`${victim.device.id}: ${plug.name}: over ${how && `(${how})`}`)
    victim.busy.delete(plug.kind)
  }

  async function pullHub(dice: Dice): Promise<void> {
    const plug = weighted(hubPlugs, dice)
    world.isHubBusy = true
    tell(plug.name)
    tell(`${plug.name}: over ${await plug.pull(world, dice, hold)}`)
    world.isHubBusy = false
  }

  async function harm(): Promise<void> {
    const dice = new Dice(seed + 1)
    const under = new Set<Promise<void>>()
    while (!over.signal.aborted) {
      await hold(dice.whole(300, 4_000))
      // Each plug's own dice: how long one takes changes nothing for the next.
      const own = new Dice(dice.whole(0, 2 ** 31))
      const isHub = dice.roll() < 0.15
      const plug = weighted(plugs, dice)
      const victim = dice.pick(world.victims)
      watch()
      if (isHub ? world.isHubBusy : victim.busy.has(plug.kind)) continue
      pulled++
      const done = (isHub ? pullHub(own) : pull(victim, plug, own)).catch((error) => {
        wrong.push(`a plug could not be pulled: ${String(error)}`)
      })
      under.add(done)
      void done.then(() => under.delete(done))
    }
    await Promise.all(under)
  }

  /** Nothing that is done to it may end an agent. */
  function watch(): void {
    for (const { device, busy, restart } of world.victims) {
      if (device.program.isRunning || busy.has('process')) continue
      wrong.push(`${device.id} ended by itself: ${device.program.lastWords}`)
      tell(wrong.at(-1)!)
      restart()
    }
  }

  try {
    const both = await Promise.allSettled([rollouts(), harm()])
    for (const { reason } of both.filter((one) => one.status === 'rejected')) wrong.push(sentenceOf(reason))
    watch()
    tell('calm')
    await calm(world, releases)
    const last = await publish(world, 'good', nextVersion)
    const id = await rollOut(world, last, { ...allAtOnce, probation: { durationMs: 300, inferences: 20 } })
    releases.push(last)
    await world.box.inPhase(id, 'completed')
    await world.box.allRun(last.version)
    wrong.push(...(await verdictOn(world, releases, last)))
  } catch (error) {
    wrong.push(sentenceOf(error))
  } finally {
    clearTimeout(timer)
  }
  return { wrong, pulled, releases: releases.length }
}

/** Everybody is here, nothing is under way. */
async function calm(world: World, releases: readonly Published[]): Promise<void> {
  for (const { device } of world.victims) await world.box.isOnline(device)
  for (const id of releases.flatMap(({ rolloutIds }) => rolloutIds))
    await eventually(
      `rollout ${id} to rest`,
      async () => {
        const { phase } = await world.box.observe.rollout(id)
        if (!resting.has(phase) && phase !== 'rolling_back')
          await world.box.stage.hub.post(`/api/v1/rollouts/${id}/abort`, { reason: 'calm' })
        return resting.has(phase)
      },
      { withinMs: 120_000 },
    )
}

function weighted<T extends { weight: number }>(from: readonly T[], dice: Dice): T {
  let left = dice.roll() * from.reduce((sum, { weight }) => sum + weight, 0)
  for (const one of from) {
    left -= one.weight
    if (left < 0) return one
  }
  return from.at(-1)!
}

function holdUntil(signal: AbortSignal): (ms: number) => Promise<void> {
  return (ms) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      signal.addEventListener('abort', end)
    })
}

function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause ? `${error.message}: ${sentenceOf(error.cause)}` : error.message
}
