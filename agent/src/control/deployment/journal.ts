import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { ActiveRelease } from '@godwit/protocol/messages/report'
import type { Phase } from '@godwit/protocol/phase'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { EpochMs } from '@godwit/protocol/units'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'
import { type Releases, readPointer, writePointer } from '../state/pointer.ts'
import type { Evidence } from './probation.ts'

/** One slot's deployment, as it stands on the disk. Plain JSON. */
export type Deployment = {
  phase: Phase
  /** Absent only in a slot that was never given a goal. */
  goal?: SlotGoal
  /** Directive that the goal came from. */
  directiveVersion: number
  /** How often the action of this phase was begun. */
  attempt: number
  /** How often something that was there had to be fetched or staged again. */
  repairs: number
  /** Directive that the last ended deployment answered. */
  answered: number
  /** How the last deployment ended, or why the one in progress is going to. */
  code?: ResultCode
  detail?: string
  /** The self-tested candidate, ready to become active. */
  candidate?: ActiveRelease
  evidence?: Evidence
  /** The release that is being rolled back from. */
  bad?: string
}

export type SlotState = Releases & { deployment: Deployment }

const fresh: Deployment = { phase: 'idle', directiveVersion: 0, attempt: 0, repairs: 0, answered: 0 }

/** The only reader and writer of the slot and quarantine tables. */
export class Journal {
  readonly #database: Database
  readonly #paths: Paths

  constructor(database: Database, paths: Paths) {
    this.#database = database
    this.#paths = paths
  }

  /**
   * Brings database and pointer file together at start: the pointer decides which releases a slot holds, because it is
   * written first. Returns true when the database knew better or worse and was put right.
   */
  repair(slot: string): boolean {
    const pointed = readPointer(this.#paths, slot)
    const state = this.read(slot)
    if (
      pointed === undefined ||
      state.deployment.phase === 'activating' ||
      state.deployment.phase === 'rolling_back'
    )
      return false
    const same =
      pointed.active?.releaseDigest === state.active?.releaseDigest &&
      pointed.lastKnownGood?.releaseDigest === state.lastKnownGood?.releaseDigest
    if (same) return false
    this.#write(slot, { ...pointed, deployment: state.deployment })
    return true
  }

  read(slot: string): SlotState {
    const row = this.#database.get('SELECT * FROM slot WHERE slot = ?', slot)
    if (row === undefined) return { deployment: fresh }
    const { deployment, active, last_known_good } = row as Record<string, string | null>
    return {
      deployment: JSON.parse(deployment!) as Deployment,
      ...(active && { active: JSON.parse(active) as ActiveRelease }),
      ...(last_known_good && { lastKnownGood: JSON.parse(last_known_good) as ActiveRelease }),
    }
  }

  writeDeployment(slot: string, deployment: Deployment): void {
    this.#write(slot, { ...this.read(slot), deployment })
  }

  /** The swap: pointer file first, then one transaction. Both may be repeated. */
  writeReleases(slot: string, releases: Releases, deployment: Deployment, also?: () => void): void {
    writePointer(this.#paths, slot, releases)
    this.#database.transaction(() => {
      this.#write(slot, { ...releases, deployment })
      also?.()
    })
  }

  quarantine(releaseDigest: string, code: ResultCode, at: EpochMs): void {
    this.#database.run('INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?)', releaseDigest, code, at)
  }

  release(releaseDigest: string): void {
    this.#database.run('DELETE FROM quarantine WHERE release_digest = ?', releaseDigest)
  }

  quarantinedFor(releaseDigest: string): ResultCode | undefined {
    const row = this.#database.get('SELECT code FROM quarantine WHERE release_digest = ?', releaseDigest)
    return row?.['code'] as ResultCode | undefined
  }

  /** The newest first, at most as many as a report holds. */
  quarantined(): string[] {
    const rows = this.#database.all('SELECT release_digest FROM quarantine ORDER BY at DESC LIMIT 64')
    return rows.map((row) => row['release_digest'] as string)
  }

  #write(slot: string, state: SlotState): void {
    this.#database.run(
      'INSERT OR REPLACE INTO slot VALUES (?, ?, ?, ?)',
      slot,
      JSON.stringify(state.deployment),
      state.active ? JSON.stringify(state.active) : null,
      state.lastKnownGood ? JSON.stringify(state.lastKnownGood) : null,
    )
  }
}
