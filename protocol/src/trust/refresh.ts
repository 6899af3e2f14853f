import type { EpochMs } from '../units.ts'
import type { Fetch, FoundTarget, RefreshOptions, Step, Steps, TrustClient } from './client.ts'
import type { Verdict } from './refusal.ts'

/** Brings metadata and keeps it: over HTTP, from MQTT's retained messages, from a bundle directory. */
export type Carrier = {
  /** Null when the source says that there is no such file; throws when it could not be asked. */
  fetch(need: Fetch): Promise<Uint8Array | null>
  /** Durable before it resolves: write aside, sync, rename, sync the directory; or one transaction. */
  store(change: Extract<Step, { do: 'store' }>): Promise<void> | void
  delete(change: Extract<Step, { do: 'delete' }>): Promise<void> | void
}

export function runRefresh(client: TrustClient, now: EpochMs, carrier: Carrier, options?: RefreshOptions) {
  return run(client.refresh(now, options), carrier)
}

export function runFindTarget(
  client: TrustClient,
  path: string,
  carrier: Carrier,
): Promise<Verdict<FoundTarget>> {
  return run(client.findTarget(path), carrier)
}

/** Performs the steps one by one. A carrier that throws ends the run; the client may be run again. */
export async function run<T>(steps: Steps<T>, carrier: Carrier): Promise<T> {
  let next = steps.next()
  while (!next.done) next = steps.next(await perform(next.value, carrier))
  return next.value
}

async function perform(step: Step, carrier: Carrier): Promise<Uint8Array | null | undefined> {
  switch (step.do) {
    case 'fetch':
      return carrier.fetch(step)
    case 'store':
      await carrier.store(step)
      return undefined
    case 'delete':
      await carrier.delete(step)
      return undefined
  }
}
