import type { EpochMs } from '@godwit/protocol/units'
import {
  type Deployment,
  type DeploymentState,
  expire,
  hasEnded,
  isInFlight,
  isRetryable,
  moved,
} from './deployment.ts'

/** Every device's share in one rollout, by device, in the order of turns. What is done to many of them at once. */
export type Deployments = ReadonlyMap<string, Deployment>

export function ofWave(deployments: Deployments, wave: number): Deployment[] {
  return [...deployments.values()].filter((deployment) => deployment.wave === wave)
}

export function countsOf(deployments: Deployments, wave?: number): Partial<Record<DeploymentState, number>> {
  const counts: Partial<Record<DeploymentState, number>> = {}
  for (const deployment of deployments.values())
    if (wave === undefined || deployment.wave === wave)
      counts[deployment.state] = (counts[deployment.state] ?? 0) + 1
  return counts
}

/** Was this device ever told to take the release, and so may hold it, now or later? */
export function wasDirected({ state, directiveVersion }: Deployment): boolean {
  return directiveVersion !== null || (state !== 'pending' && state !== 'skipped')
}

/** Also what a crash left between the decision and the signature. */
export function needsDirection({ state, directiveVersion }: Deployment): boolean {
  return state === 'pending' || (state === 'directed' && directiveVersion === null)
}

/** Is there still something to wait for in the waves up to this one? */
export function areAtWork(deployments: Deployments, wave: number): boolean {
  return [...deployments.values()].some(
    (d) => (d.wave <= wave && needsDirection(d)) || (d.wave === wave && !hasEnded(d)),
  )
}

/** Whose turn it is: no more of them than the plan lets be at work at once. */
export function nextInLine(
  deployments: Deployments,
  maxInFlight: number,
  eligible: (deployment: Deployment) => boolean = () => true,
): Deployment[] {
  const all = [...deployments.values()]
  const inFlight = all.filter((d) => isInFlight(d) && !needsDirection(d)).length
  const waiting = all.filter((d) => needsDirection(d) && eligible(d))
  return waiting.slice(0, Math.max(0, maxInFlight - inFlight))
}

export function asDirected(
  deployments: Deployments,
  chosen: readonly Deployment[],
  at: EpochMs,
): Deployments {
  const result = new Map(deployments)
  for (const d of chosen) result.set(d.deviceId, { ...moved(d, 'directed', at, d.code, null), since: at })
  return result
}

/** @param versions of the directives that were signed; whoever was asked and has none will not be told */
export function withDirectives(
  deployments: Deployments,
  asked: ReadonlySet<string>,
  versions: ReadonlyMap<string, number>,
  at: EpochMs,
): Deployments {
  return mapped(deployments, (d) => {
    if (!asked.has(d.deviceId) || d.state !== 'directed') return d
    const version = versions.get(d.deviceId)
    if (version !== undefined) return { ...d, directiveVersion: version }
    return moved(d, 'skipped', at, null, 'not directed: revoked, or its goal was set by somebody else')
  })
}

export function expired(
  deployments: Deployments,
  deadlineMsOf: (wave: number) => number,
  at: EpochMs,
): Deployments {
  return mapped(deployments, (d) => expire(d, deadlineMsOf(d.wave), at))
}

/** An offline device must not come back next week and install what was called off today. */
export function calledOff(deployments: Deployments, at: EpochMs): Deployments {
  return mapped(deployments, (d) =>
    d.state === 'pending' || isInFlight(d) ? moved(d, 'skipped', at, d.code, 'the rollout was aborted') : d,
  )
}

export function turnedBack(deployments: Deployments, at: EpochMs): Deployments {
  return mapped(deployments, (d) =>
    wasDirected(d)
      ? { ...d, state: 'pending', since: at, directiveVersion: null, code: null, detail: null }
      : moved(d, 'skipped', at, null, 'never directed'),
  )
}

/** The code stays: it tells the next direction that the goal is already set and has to be forced. */
export function triedAgain(deployments: Deployments, at: EpochMs): Deployments {
  return mapped(deployments, (d) =>
    isRetryable(d) ? { ...moved(d, 'pending', at, d.code, d.detail), directiveVersion: null } : d,
  )
}

/** The same map when nothing in it changed, so that the store has nothing to write. */
function mapped(deployments: Deployments, change: (deployment: Deployment) => Deployment): Deployments {
  let result: Map<string, Deployment> | undefined
  for (const [id, deployment] of deployments) {
    const next = change(deployment)
    if (next === deployment) continue
    result ??= new Map(deployments)
    result.set(id, next)
  }
  return result ?? deployments
}
