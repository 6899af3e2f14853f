import { type EpochMs, fromRfc3339 } from '../units.ts'
import {
  checkFile,
  checkFresh,
  checkSnapshotSigned,
  checkTargets,
  checkTimestampSigned,
  checkVersion,
} from './checks.ts'
import type { KeyPolicy, Root, Snapshot, TargetFile, Targets, Timestamp } from './metadata.ts'
import { accept, type Refused, refuse, type Verdict } from './refusal.ts'

/** `freshUntil`: when the earlier of timestamp and snapshot expires. It may have passed. */
export type Held = { timestamp: Timestamp; snapshot: Snapshot; targets: Targets; freshUntil: EpochMs }

/**
 * What earlier refreshes verified, still whole under the root of today (SPEC 3.8): for a device that restarts where it
 * cannot reach its hub, or whose hub has stopped signing. Nothing here is weaker than a refresh, except that timestamp
 * and snapshot may have expired; who may install then is `checkGrace`'s business. What the publishers sign offline,
 * root and targets, must be fresh in any case.
 */
export function checkHeld(
  root: Root,
  held: ReadonlyMap<string, Uint8Array>,
  now: EpochMs,
  policy: KeyPolicy,
): Verdict<Held> {
  const stale = checkFresh('root', root, now)
  if (stale) return stale
  const [timestampBytes, snapshotBytes, targetsBytes] = ['timestamp', 'snapshot', 'targets'].map((role) =>
    held.get(role),
  )
  if (!timestampBytes || !snapshotBytes || !targetsBytes)
    return refuse('absent', 'no earlier refresh was completed')
  const timestamp = checkTimestampSigned(timestampBytes, root, policy)
  if (!timestamp.trusted) return timestamp
  const listed = timestamp.value.meta['snapshot.json']
  const altered = checkFile('snapshot', snapshotBytes, listed)
  if (altered) return altered
  const snapshot = checkSnapshotSigned(snapshotBytes, root, policy)
  if (!snapshot.trusted) return snapshot
  // A refresh that was cut off after its timestamp: something newer is known to exist, and is not here.
  const wrong = checkVersion('snapshot', snapshot.value.version, listed)
  if (wrong) return wrong
  const authority = { keys: root.keys, role: root.roles['targets']! }
  const named = snapshot.value.meta['targets.json']
  const targets = checkTargets('targets', targetsBytes, named, authority, now, policy)
  if (!targets.trusted) return targets
  const freshUntil = Math.min(fromRfc3339(timestamp.value.expires), fromRfc3339(snapshot.value.expires))
  return accept({ timestamp: timestamp.value, snapshot: snapshot.value, targets: targets.value, freshUntil })
}

/**
 * How long after timestamp and snapshot have expired this target may still be installed, in integer milliseconds; signed
 * by the publishers in the target's `custom`. 0 where they say nothing, or nothing that can be read.
 */
export function maxStalenessMsOf({ custom }: TargetFile): number {
  const said = custom !== undefined && Object.hasOwn(custom, 'maxStalenessMs') ? custom['maxStalenessMs'] : 0
  return Number.isSafeInteger(said) && (said as number) > 0 ? (said as number) : 0
}

/** The freeze attack's other side: a publisher may allow a stale view, for so long and no longer (SPEC 3.8). */
export function checkGrace(
  path: string,
  file: TargetFile,
  freshUntil: EpochMs,
  now: EpochMs,
): Refused | undefined {
  const graceMs = maxStalenessMsOf(file)
  if (now < freshUntil + graceMs) return undefined
  const [end, at] = [freshUntil, now].map((time) => new Date(time).toISOString())
  return refuse(
    'expired',
    `${path}: timestamp and snapshot are valid until ${end}, it may be installed up to ${graceMs} ms later, and it is ${at}`,
  )
}
