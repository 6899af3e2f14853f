import { Fault } from '../fault.ts'
import {
  rootBytesMax,
  rootRotationsMax,
  snapshotBytesMax,
  targetsBytesMax,
  timestampBytesMax,
} from '../limits.ts'
import type { EpochMs } from '../units.ts'
import {
  type Authority,
  checkFile,
  checkFresh,
  checkInitialRoot,
  checkNextRoot,
  checkSnapshotRollback,
  checkSnapshotSigned,
  checkTargets,
  checkTimestampRollback,
  checkTimestampSigned,
  checkVersion,
  hasLostKey,
} from './checks.ts'
import { isDelegated } from './delegation.ts'
import { fileNameOf } from './file-name.ts'
import { checkGrace, checkHeld } from './held.ts'
import {
  ed25519Only,
  type KeyPolicy,
  own,
  type Root,
  type Snapshot,
  type TargetFile,
  type Targets,
  type Timestamp,
} from './metadata.ts'
import { accept, type Refused, refuse, type Verdict } from './refusal.ts'

/**
 * What the client asks of the world, in order. Each step is done before the next is taken: a document is
 * stored before anything is concluded from it, so a power cut leaves a state that a refresh continues from.
 * `version` is absent where the name carries none. Answer `fetch` with the bytes, or null for "not there".
 */
export type Step =
  | { do: 'fetch'; role: string; version?: number; fileName: string; bytesMax: number }
  | { do: 'store'; role: string; version: number; fileName: string; bytes: Uint8Array }
  | { do: 'delete'; role: string; fileName: string }
export type Fetch = Extract<Step, { do: 'fetch' }>

export type Steps<T> = Generator<Step, T, Uint8Array | null | undefined>

/** W, X, Y and Z of the specification: how much we take from a source that we do not trust yet. */
export type TrustLimits = {
  readonly rootBytesMax: number
  readonly timestampBytesMax: number
  readonly snapshotBytesMax: number
  readonly targetsBytesMax: number
  readonly rootRotationsMax: number
  /** Roles that one search for a target may visit (§5.6.7.1). */
  readonly rolesVisitedMax: number
}

export const trustLimits: TrustLimits = {
  rootBytesMax,
  timestampBytesMax,
  snapshotBytesMax,
  targetsBytesMax,
  rootRotationsMax,
  rolesVisitedMax: 32,
}

/** A target that a chain of roles vouches for; `role` is the last of them. */
export type FoundTarget = { path: string; role: string; file: TargetFile }

export type RefreshOptions = { late?: boolean }

type Staleness = (...args: Parameters<typeof checkFresh>) => Refused | undefined
type Current = { root: Root; timestamp: Timestamp; snapshot: Snapshot; targets: Targets }

/**
 * The client workflow of TUF 1.0, §5.1 to §5.7, without I/O and without a clock: it says what to fetch, store
 * and delete, and is told the time. A refusal ends one refresh and nothing else: what was trusted before
 * stays, and the next refresh starts again from it (§5, first note).
 */
export class TrustClient {
  readonly #policy: KeyPolicy
  readonly #limits: TrustLimits
  /** The bytes as received, by role: hashes are over them, and a restart reads the same (never re-spelled). */
  readonly #held: Map<string, Uint8Array>
  /** Targets roles verified in this refresh, by delegating role and role: trust is per path, not per file. */
  readonly #verified = new Map<string, Targets>()
  #root: Root
  #now: EpochMs = Number.NaN
  #current: Current | undefined
  /** After a refresh: for ever, because it was judged at one fixed moment. After `resume`: when what is held expires. */
  #freshUntil: EpochMs = Number.POSITIVE_INFINITY

  private constructor(root: Root, held: Map<string, Uint8Array>, policy: KeyPolicy, limits: TrustLimits) {
    this.#root = root
    this.#held = held
    this.#policy = policy
    this.#limits = limits
  }

  /**
   * §5.2, load the trusted root. Its expiry does not matter yet.
   *
   * @param held everything stored by earlier refreshes, by role name; `root` at least
   */
  static open(
    held: ReadonlyMap<string, Uint8Array>,
    policy: KeyPolicy = ed25519Only,
    limits: Partial<TrustLimits> = {},
  ): Verdict<TrustClient> {
    const bytes = held.get('root')
    if (!bytes) return refuse('absent', 'there is no trusted root to start from')
    const root = checkInitialRoot(bytes, policy)
    if (!root.trusted) return root
    return accept(new TrustClient(root.value, new Map(held), policy, { ...trustLimits, ...limits }))
  }

  get root(): Root {
    return this.#root
  }

  /** What the last complete refresh came to, undefined before one. */
  get current(): Readonly<Current> | undefined {
    return this.#current
  }

  /**
   * @param now fixed for the whole refresh and the searches after it, so that time cannot run out midway (§5.1)
   * @param late takes timestamp and snapshot also after they have expired, as if they had been heard in time: what is newer
   *   than what was held counts against a rollback, and a search is left with the publishers' grace, as after `resume`
   */
  *refresh(now: EpochMs, { late = false }: RefreshOptions = {}): Steps<Verdict<Readonly<Current>>> {
    this.#forget(now)
    const stale = yield* this.#updateRoot()
    if (stale) return stale
    const staleness = late ? () => undefined : checkFresh
    const timestamp = yield* this.#updateTimestamp(staleness)
    if (!timestamp.trusted) return timestamp
    const snapshot = yield* this.#updateSnapshot(timestamp.value, staleness)
    if (!snapshot.trusted) return snapshot
    const authority = { keys: this.#root.keys, role: this.#root.roles['targets']! }
    const targets = yield* this.#updateTargets('targets', 'root', authority, snapshot.value)
    if (!targets.trusted) return targets
    if (late) return this.resume(now)
    this.#current = {
      root: this.#root,
      timestamp: timestamp.value,
      snapshot: snapshot.value,
      targets: targets.value,
    }
    return accept(this.#current)
  }

  /**
   * Goes on with what earlier refreshes verified, asking nobody: when the hub cannot be had, or has nothing fresh.
   * Searches then find a target for as long as timestamp and snapshot are fresh, and a publisher's grace longer.
   */
  resume(now: EpochMs): Verdict<Readonly<Current>> {
    this.#forget(now)
    const held = checkHeld(this.#root, this.#held, now, this.#policy)
    if (!held.trusted) return held
    const { freshUntil, ...documents } = held.value
    this.#freshUntil = freshUntil
    this.#current = { root: this.#root, ...documents }
    return accept(this.#current)
  }

  #forget(now: EpochMs): void {
    this.#now = now
    this.#current = undefined
    this.#freshUntil = Number.POSITIVE_INFINITY
    this.#verified.clear()
  }

  /** §5.3 */
  *#updateRoot(): Steps<Refused | undefined> {
    for (let fetched = 0; fetched < this.#limits.rootRotationsMax; fetched++) {
      // 5.3.3: the next version, by a name that always carries it. None, or too many: go to 5.3.10.
      const version = this.#root.version + 1
      const bytes = yield* this.#fetch('root', version, this.#limits.rootBytesMax)
      if (!bytes.trusted) {
        if (bytes.because === 'absent') break
        return bytes
      }
      const next = checkNextRoot(this.#root, bytes.value, this.#policy)
      if (!next.trusted) return next
      // 5.3.11, brought forward and judged between neighbours. Deleting first means that a power cut in
      // between is repaired by the next refresh; the other order would forget that there was a rotation.
      if (['timestamp', 'snapshot'].some((role) => hasLostKey(this.#root, next.value, role))) {
        yield* this.#delete('timestamp')
        yield* this.#delete('snapshot')
      }
      // 5.3.7, 5.3.8. An expired intermediate root is fine (5.3.6).
      yield* this.#store('root', version, bytes.value)
      this.#root = next.value
    }
    // 5.3.10
    return checkFresh('root', this.#root, this.#now)
  }

  /** §5.4 */
  *#updateTimestamp(staleness: Staleness): Steps<Verdict<Timestamp>> {
    const held = this.#heldTimestamp()
    const bytes = yield* this.#fetch('timestamp', undefined, this.#limits.timestampBytesMax)
    if (!bytes.trusted) return bytes
    const fresh = checkTimestampSigned(bytes.value, this.#root, this.#policy)
    if (!fresh.trusted) return fresh
    if (held) {
      const older = checkTimestampRollback(held, fresh.value)
      if (older) return older
      // 5.4.3.1: an equal version is no error and changes nothing. We keep what we hold and go on, because
      // an earlier refresh may have ended between the timestamp and the targets.
      if (held.version === fresh.value.version) return staleness('timestamp', held, this.#now) ?? accept(held)
    }
    const stale = staleness('timestamp', fresh.value, this.#now)
    if (stale) return stale
    yield* this.#store('timestamp', fresh.value.version, bytes.value)
    return fresh
  }

  /** §5.5 */
  *#updateSnapshot(timestamp: Timestamp, staleness: Staleness): Steps<Verdict<Snapshot>> {
    const listed = timestamp.meta['snapshot.json']
    const heldBytes = this.#held.get('snapshot')
    const heldVerdict = heldBytes && checkSnapshotSigned(heldBytes, this.#root, this.#policy)
    // What no longer verifies (keys rotated, disk damaged) is as good as absent, never an obstacle.
    const held = heldVerdict?.trusted ? heldVerdict.value : undefined
    const isCurrent =
      held &&
      heldBytes &&
      !checkVersion('snapshot', held.version, listed) &&
      !checkFile('', heldBytes, listed)
    if (isCurrent && !staleness('snapshot', held, this.#now)) return accept(held)

    const bytesMax = listed.length ?? this.#limits.snapshotBytesMax
    const bytes = yield* this.#fetch('snapshot', this.#consistent(listed.version), bytesMax)
    if (!bytes.trusted) return bytes
    const altered = checkFile('snapshot', bytes.value, listed)
    if (altered) return altered
    const fresh = checkSnapshotSigned(bytes.value, this.#root, this.#policy)
    if (!fresh.trusted) return fresh
    const wrong =
      checkVersion('snapshot', fresh.value.version, listed) ??
      (held && checkSnapshotRollback(held, fresh.value)) ??
      staleness('snapshot', fresh.value, this.#now)
    if (wrong) return wrong
    yield* this.#store('snapshot', fresh.value.version, bytes.value)
    return fresh
  }

  /** §5.6.1 to §5.6.6, for the top-level role and for delegated ones. */
  *#updateTargets(
    role: string,
    delegator: string,
    authority: Authority,
    snapshot: Snapshot,
  ): Steps<Verdict<Targets>> {
    const memory = JSON.stringify([delegator, role])
    const known = this.#verified.get(memory)
    if (known) return accept(known)
    const listed = own(snapshot.meta, `${role}.json`)
    if (!listed) return refuse('not-listed', `snapshot ${snapshot.version} does not list ${role}.json`)

    const check = (bytes: Uint8Array) => checkTargets(role, bytes, listed, authority, this.#now, this.#policy)
    const heldBytes = this.#held.get(role)
    const held = heldBytes && check(heldBytes)
    if (held?.trusted) {
      this.#verified.set(memory, held.value)
      return held
    }
    const bytesMax = listed.length ?? this.#limits.targetsBytesMax
    const bytes = yield* this.#fetch(role, this.#consistent(listed.version), bytesMax)
    if (!bytes.trusted) return bytes
    const fresh = check(bytes.value)
    if (!fresh.trusted) return fresh
    yield* this.#store(role, fresh.value.version, bytes.value)
    this.#verified.set(memory, fresh.value)
    return fresh
  }

  /**
   * §5.6.7: who vouches for this path? Pre-order and depth first, so the first delegation outranks the second;
   * may fetch delegated roles. Metadata that cannot be had or validated ends the search with its refusal.
   */
  *findTarget(path: string): Steps<Verdict<FoundTarget>> {
    if (!this.#current)
      throw new Fault('not-refreshed', `cannot look for ${path} before a complete refresh, or a resumed one`)
    const { root, snapshot } = this.#current
    const top = { role: 'targets', delegator: 'root', keys: root.keys, authority: root.roles['targets']! }
    const toVisit = [top]
    const visited = new Set<string>()
    for (let next = toVisit.pop(); next; next = toVisit.pop()) {
      const { role, delegator, keys, authority } = next
      // 5.6.7.1: a role seen before is skipped, which ends cycles; too many roles end the search.
      if (visited.has(role)) continue
      if (visited.size >= this.#limits.rolesVisitedMax) break
      visited.add(role)
      const targets = yield* this.#updateTargets(role, delegator, { keys, role: authority }, snapshot)
      if (!targets.trusted) return targets
      const file = own(targets.value.targets, path)
      if (file) return checkGrace(path, file, this.#freshUntil, this.#now) ?? accept({ path, role, file })

      // 5.6.7.2: in order of appearance; the stack takes them in reverse. §4.5: each role on the way must be
      // trusted with the path, which holds because only matching delegations are followed.
      const { keys: childKeys, roles } = targets.value.delegations ?? { keys: {}, roles: [] }
      const matching = (roles ?? []).filter((child) => isDelegated(child, path))
      const last = matching.findIndex((child) => child.terminating)
      // A terminating delegation: nobody after it is asked, neither its siblings nor those of its ancestors.
      if (last >= 0) toVisit.length = 0
      const followed = last >= 0 ? matching.slice(0, last + 1) : matching
      for (const child of followed.reverse())
        toVisit.push({ role: child.name, delegator: role, keys: childKeys, authority: child })
    }
    return refuse('not-listed', `no role lists the target ${path}`)
  }

  #heldTimestamp(): Timestamp | undefined {
    const bytes = this.#held.get('timestamp')
    const verdict = bytes && checkTimestampSigned(bytes, this.#root, this.#policy)
    return verdict?.trusted ? verdict.value : undefined
  }

  /** §5.3.12: names carry versions where root says that snapshots are consistent. */
  #consistent(version: number): number | undefined {
    return this.#root.consistent_snapshot === true ? version : undefined
  }

  *#fetch(role: string, version: number | undefined, bytesMax: number): Steps<Verdict<Uint8Array>> {
    const fileName = fileNameOf(role, version)
    const step: Fetch = { do: 'fetch', role, fileName, bytesMax, ...(version !== undefined && { version }) }
    const bytes = yield step
    if (!bytes) return refuse('absent', `${fileName} is not there`)
    // A carrier should stop at bytesMax; endless data that got through stops here.
    if (bytes.length <= bytesMax) return accept(bytes)
    return refuse('length-exceeded', `${fileName}: expected at most ${bytesMax} bytes, found ${bytes.length}`)
  }

  *#store(role: string, version: number, bytes: Uint8Array): Steps<void> {
    yield { do: 'store', role, version, fileName: fileNameOf(role), bytes }
    this.#held.set(role, bytes)
  }

  *#delete(role: string): Steps<void> {
    if (!this.#held.has(role)) return
    yield { do: 'delete', role, fileName: fileNameOf(role) }
    this.#held.delete(role)
  }
}
