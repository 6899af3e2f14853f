import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Directive, SlotGoal } from '@godwit/protocol/messages/directive'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalText } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import { toRfc3339 } from '@godwit/protocol/units'
import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import { isAhead } from '../fleet/ahead.ts'
import type { Device } from '../fleet/device.ts'
import { Listeners } from '../listeners.ts'
import type { Database, Db } from '../store/database.ts'
import { deviceById, saveDirectiveVersion } from '../store/device-store.ts'
import {
  deleteGoal,
  devicesWithDirectiveEndingBefore,
  goalsOfDevice,
  insertDirective,
  newestDirective,
  type StoredGoal,
  saveGoal,
} from '../store/directive-store.ts'
import type { Audit } from './audit.ts'

export type GoalOptions = {
  /** Who wanted it, for the record. */
  who: string
  /** Length of telemetry windows, integer milliseconds; absent: the config's. */
  windowMs?: number
}

/** The signed goal state of each device. */
export type Directives = {
  /**
   * Sets what one slot of these devices shall hold, and signs a new directive for each, in groups: a transaction, then
   * the listeners. A goal that is already set changes nothing, so that a step repeated after a crash does no harm;
   * `force` always makes a new directive. Answers the directive version of each device that exists and is not revoked.
   */
  setGoal(
    deviceIds: readonly string[],
    slot: string,
    goal: SlotGoal,
    options: GoalOptions,
  ): Promise<Map<string, number>>
  removeGoal(deviceIds: readonly string[], slot: string, options: GoalOptions): Promise<Map<string, number>>
  /** What the device shall hold, by slot. */
  goalsOf(deviceId: string): Promise<Record<string, SlotGoal>>
  /** The envelope to publish; undefined before the first goal. */
  current(deviceId: string): Promise<Uint8Array | undefined>
  /** The envelope for a stick: signed again where the newest one ends before `until`, as below. Undefined before the first goal. */
  lasting(deviceId: string, until: number, who: string): Promise<Uint8Array | undefined>
  /**
   * Signs again, with a new version, what would expire within half its life. Answers how many. A device that has applied a
   * later directive than this hub remembers is left alone, until somebody says what it shall hold: after a restored backup
   * its goal on record is an old one, and signing that again would roll it back with nobody having asked.
   *
   * @param options.overtake those too: a thief's directives were higher, and the goals on record are right
   */
  reissueExpiring(now: number, options?: { overtake?: boolean }): Promise<number>
  /** A device has a new directive, and it is committed. */
  onDirective(listener: (deviceId: string) => void): () => void
}

type Around = {
  database: Database
  clock: Clock
  audit: Audit
  config: Pick<HubConfig, 'fleet' | 'directive' | 'telemetry'>
  directorSeed: Uint8Array
  listenerFailed: (error: unknown) => void
}
/** Far beyond what stolen keys come to, a million at a time (SPEC 6.1), and far below 2^53. */
const reportedVersionMax = 2 ** 50

/** At about a millisecond each, a group holds everything else up for less than a tenth of a second. */
const groupMax = 64

/** Changes one device's goals; false when there was nothing to change. */
type Change = (trx: Db, device: Device) => Promise<boolean>

export function createDirectives(around: Around): Directives {
  const { database, clock, audit, config, directorSeed, listenerFailed } = around
  const { db, transaction } = database
  const issued = new Listeners<[string]>(listenerFailed)
  const director = keyOfSeed(directorSeed)

  async function issue(trx: Db, device: Device, who: string, until = 0): Promise<number> {
    const now = clock()
    const version = nextVersion(device)
    const expiresAt = Math.max(now + config.directive.expiresMs, until)
    const goals = await goalsOfDevice(trx, device.id)
    const directive: Directive = {
      _type: 'directive',
      specVersion: 1,
      fleet: config.fleet,
      deviceId: device.id,
      version,
      issued: toRfc3339(now),
      expires: toRfc3339(expiresAt),
      slots: Object.fromEntries(goals.map((goal) => [goal.slot, asSigned(goal, device)])),
      telemetry: { windowMs: shortestWindow(goals) ?? config.telemetry.windowMs },
    }
    const envelope = new TextDecoder().decode(encodeEnvelope(signDocument(directive, directorSeed, director)))
    await insertDirective(trx, { deviceId: device.id, version, envelope, issuedAt: now, expiresAt })
    await saveDirectiveVersion(trx, device.id, version)
    const detail = { version, sha256: sha256Hex(utf8(envelope)) }
    await audit.append(trx, { who, action: 'directive.issue', subject: device.id, detail })
    return version
  }

  async function changeAll(
    deviceIds: readonly string[],
    who: string,
    change: Change,
    until?: number,
  ): Promise<Map<string, number>> {
    const versions = new Map<string, number>()
    for (let from = 0; from < deviceIds.length; from += groupMax) {
      const changed: string[] = []
      await transaction(async (trx) => {
        for (const id of deviceIds.slice(from, from + groupMax)) {
          const device = await deviceById(trx, id)
          if (!device || device.revokedAt !== undefined) continue
          const isChanged = await change(trx, device)
          versions.set(id, isChanged ? await issue(trx, device, who, until) : device.directiveVersion)
          if (isChanged) changed.push(id)
        }
      })
      for (const id of changed) issued.tell(id)
      // SQLite answers at once, so ten thousand signatures would let nobody else have a word.
      await nextTurn()
    }
    return versions
  }

  return {
    setGoal: (deviceIds, slot, goal, { who, windowMs }) =>
      changeAll(deviceIds, who, async (trx, device) => {
        const held = (await goalsOfDevice(trx, device.id)).find((g) => g.slot === slot)
        const { force, ...wanted } = goal
        if (held && !force && isSame(held, wanted, windowMs)) return false
        const stored: StoredGoal = {
          slot,
          goal: wanted,
          ...(windowMs !== undefined && { windowMs }),
          ...(force && { forcedAt: nextVersion(device) }),
        }
        await saveGoal(trx, device.id, stored, { who, at: clock() })
        const detail = { slot, model: goal.model, version: goal.version, force: force ?? false }
        await audit.append(trx, { who, action: 'goal.set', subject: device.id, detail })
        return true
      }),

    removeGoal: (deviceIds, slot, { who }) =>
      changeAll(deviceIds, who, async (trx, device) => {
        if (!(await deleteGoal(trx, device.id, slot))) return false
        await audit.append(trx, { who, action: 'goal.remove', subject: device.id, detail: { slot } })
        return true
      }),

    async goalsOf(deviceId) {
      const goals = await goalsOfDevice(db, deviceId)
      return Object.fromEntries(goals.map(({ slot, goal }) => [slot, goal]))
    },

    async current(deviceId) {
      return (await newestDirective(db, deviceId))?.envelope
    },

    async lasting(deviceId, until, who) {
      const held = await newestDirective(db, deviceId)
      if (!held || held.expiresAt >= until) return held?.envelope
      await changeAll([deviceId], who, async (_, device) => !isAhead(device), until)
      return (await newestDirective(db, deviceId))?.envelope
    },

    async reissueExpiring(now, { overtake = false } = {}) {
      const ending = await devicesWithDirectiveEndingBefore(db, now + config.directive.expiresMs / 2)
      let signed = 0
      await changeAll(ending, 'hub', async (_, device) => {
        const isDue = overtake || !isAhead(device)
        if (isDue) signed++
        return isDue
      })
      return signed
    },

    onDirective: (listener) => issued.add(listener),
  }
}

/**
 * Above all that the device has applied, by its own signed word: after a stolen director key was replaced, or a hub was
 * restored from an old copy, the device holds a higher version than we remember. What no director can have led it to in
 * honest steps is not followed: only a device that lies says so, and it would run us out of numbers.
 */
function nextVersion({ directiveVersion, report }: Device): number {
  const applied = report?.directiveVersion ?? 0
  return Math.max(directiveVersion, applied < reportedVersionMax ? applied : 0) + 1
}

/** A device has one window length: the shortest that somebody asked for. */
function shortestWindow(goals: readonly StoredGoal[]): number | undefined {
  const asked = goals.flatMap(({ windowMs }) => windowMs ?? [])
  return asked.length > 0 ? Math.min(...asked) : undefined
}

function isSame(held: StoredGoal, wanted: SlotGoal, windowMs: number | undefined): boolean {
  return held.windowMs === windowMs && canonicalText(held.goal) === canonicalText(wanted)
}

/**
 * `force` stays in every directive until the device has answered the one that it came in, because a device that was
 * away sees only the newest. Afterwards it goes, or the next change would try the quarantined release once more.
 */
function asSigned({ slot, goal, forcedAt }: StoredGoal, device: Device): SlotGoal {
  const answered = device.report?.slots[slot]?.answered ?? 0
  return forcedAt !== undefined && answered < forcedAt ? { ...goal, force: true } : goal
}
