import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Services } from '../services.ts'
import type { Db } from '../store/database.ts'
import { type CreateRefusal, type CreateRequest, prepare } from './create.ts'
import { answerIn, type DeploymentState } from './deployment.ts'
import { collectEvidence } from './evidence.ts'
import type { PlanMistake } from './plan.ts'
import {
  type Action,
  allowedActions,
  currentWave,
  isActive,
  type OperatorAction,
  type Rollout,
  type RolloutEvent,
  step,
} from './rollout.ts'
import {
  insertRollout,
  insertRolloutEntry,
  type RolloutEntry,
  rolloutById,
  rolloutEntries,
  rolloutIds,
  rolloutIdsAwaiting,
  type StoredRollout,
  saveRollout,
  unfinishedRolloutIds,
} from './rollout-store.ts'
import { verdictSentence } from './sentence.ts'
import { Serial } from './serial.ts'

export type CreateVerdict =
  | { created: true; stored: StoredRollout }
  | { created: false; because: CreateRefusal; mistakes: PlanMistake[] }
export type ActVerdict =
  | { acted: true; stored: StoredRollout }
  | { acted: false; because: 'unknown-rollout' | 'not-allowed' | 'conflict'; detail: string }

type Needs = Pick<
  Services,
  'database' | 'clock' | 'feed' | 'audit' | 'fleet' | 'registry' | 'directives' | 'log'
>

/** Moves of one tick at most: a wave that passes opens the next at once, and no loop of our own making runs for ever. */
const movesPerTick = 8

/**
 * Performs what `step` decides. The state is stored first, then the directives are signed: a crash in between leaves
 * deployments that are `directed` without a version, and the next tick directs them again.
 */
export class RolloutEngine {
  readonly #needs: Needs
  readonly #newId: () => string
  readonly #serial = new Serial()
  readonly #unfinished = new Map<string, StoredRollout>()
  /** What live views were last told, so that a tick without news stays silent. */
  readonly #told = new Map<string, string>()
  readonly #heard = new Set<string>()
  readonly #revoked = new Set<string>()

  constructor(needs: Needs, newId: () => string) {
    this.#needs = needs
    this.#newId = newId
  }

  /** Takes up what the store holds; call once, before anything else. */
  async load(): Promise<void> {
    const { db } = this.#needs.database
    for (const id of await unfinishedRolloutIds(db)) this.#unfinished.set(id, (await rolloutById(db, id))!)
  }

  get(id: string): Promise<StoredRollout | undefined> {
    return this.#serial.run(async () => this.#unfinished.get(id) ?? rolloutById(this.#needs.database.db, id))
  }

  async list(before: string | undefined, limit: number): Promise<StoredRollout[]> {
    const ids = await rolloutIds(this.#needs.database.db, before, limit)
    const found = await Promise.all(ids.map((id) => this.get(id)))
    return found.flatMap((stored) => stored ?? [])
  }

  entries(id: string, after: number, limit: number): Promise<RolloutEntry[]> {
    return rolloutEntries(this.#needs.database.db, id, after, limit)
  }

  activeCount(): number {
    return [...this.#unfinished.values()].filter(({ rollout }) => isActive(rollout)).length
  }

  create(request: CreateRequest, who: string): Promise<CreateVerdict> {
    return this.#serial.run(async () => {
      const at = this.#needs.clock()
      const prepared = await prepare(this.#needs, request, this.#newId(), at)
      if (!prepared.ready) return { created: false, because: prepared.because, mistakes: prepared.mistakes }
      const { rollout } = prepared
      const conflict = this.#conflictOf(rollout)
      if (conflict) {
        return {
          created: false,
          because: 'conflict',
          mistakes: [{ pointer: '#/selector', detail: conflict }],
        }
      }
      const head = { revision: 1, createdAt: at, createdBy: who, updatedAt: at, selector: request.selector }
      const stored = { rollout, head }
      await this.#needs.database.transaction(async (trx) => {
        await insertRollout(trx, stored)
        const { model, version } = request
        const message = `${model} ${version} for ${rollout.deployments.size} devices in ${rollout.waves.length} waves`
        await insertRolloutEntry(trx, rollout.id, { at, kind: 'created', who, message })
        const detail = { model, version, selector: request.selector, devices: rollout.deployments.size }
        await this.#needs.audit.append(trx, { who, action: 'rollout.create', subject: rollout.id, detail })
        await this.#tell(trx, stored)
      })
      this.#unfinished.set(rollout.id, stored)
      await this.#tickOne(rollout.id)
      return { created: true, stored: this.#unfinished.get(rollout.id)! }
    })
  }

  act(id: string, action: OperatorAction, who: string, reason: string): Promise<ActVerdict> {
    return this.#serial.run(async () => {
      const stored = await this.#load(id)
      if (!stored) return { acted: false, because: 'unknown-rollout', detail: `there is no rollout ${id}` }
      const { rollout } = stored
      if (!allowedActions(rollout).includes(action)) {
        const may = allowedActions(rollout).join(', ') || 'nothing'
        const detail = `rollout ${id} is ${rollout.phase}: ${action} is not possible, only ${may}`
        return { acted: false, because: 'not-allowed', detail }
      }
      const conflict = isActive(rollout) ? undefined : this.#conflictOf(rollout)
      if (conflict) return { acted: false, because: 'conflict', detail: conflict }
      await this.#apply(id, [{ type: action, at: this.#needs.clock(), who, reason }])
      await this.#tickOne(id)
      return { acted: true, stored: (await this.#load(id))! }
    })
  }

  /** A device's report is committed. Many at once become one step of each rollout. */
  heard(deviceId: string): Promise<void> {
    this.#heard.add(deviceId)
    return this.#drain()
  }

  revoked(deviceId: string): Promise<void> {
    this.#revoked.add(deviceId)
    return this.#drain()
  }

  tick(): Promise<void> {
    return this.#serial.run(async () => {
      for (const id of [...this.#unfinished.keys()]) {
        await this.#tickOne(id).catch((error) =>
          this.#needs.log.error({ err: error, rollout: id }, 'rollout tick failed'),
        )
      }
    })
  }

  /** Comes back when everything that was asked for is done. */
  idle(): Promise<void> {
    return this.#serial.run(async () => {})
  }

  #drain(): Promise<void> {
    return this.#serial.run(async () => {
      const at = this.#needs.clock()
      const events = new Map<string, RolloutEvent[]>()
      const add = (id: string, event: RolloutEvent) => events.set(id, [...(events.get(id) ?? []), event])
      for (const deviceId of take(this.#revoked))
        for (const [id, { rollout }] of this.#unfinished)
          if (rollout.deployments.has(deviceId)) add(id, { type: 'revoked', at, deviceId })
      for (const deviceId of take(this.#heard)) {
        const report = (await this.#needs.fleet.device(deviceId))?.report
        if (!report) continue
        for (const id of await this.#concerned(deviceId)) {
          const answer = answerIn(report, (await this.#load(id))!.rollout.slot)
          if (answer) add(id, { type: 'answered', at, deviceId, answer })
        }
      }
      for (const [id, of] of events) {
        await this.#apply(id, of)
        await this.#tickOne(id)
      }
    })
  }

  async #concerned(deviceId: string): Promise<string[]> {
    const unfinished = [...this.#unfinished].filter(([, { rollout }]) => rollout.deployments.has(deviceId))
    const late = await rolloutIdsAwaiting(this.#needs.database.db, deviceId)
    return [...new Set([...unfinished.map(([id]) => id), ...late])]
  }

  async #load(id: string): Promise<StoredRollout | undefined> {
    return this.#unfinished.get(id) ?? rolloutById(this.#needs.database.db, id)
  }

  async #tickOne(id: string): Promise<void> {
    for (let move = 0; move < movesPerTick; move++) {
      const before = await this.#load(id)
      if (!before) return
      const evidence = await collectEvidence(this.#needs.database.db, before.rollout)
      await this.#apply(id, [{ type: 'tick', at: this.#needs.clock(), evidence }])
      const after = await this.#load(id)
      if (!after || placeOf(after.rollout) === placeOf(before.rollout)) return
    }
  }

  async #apply(id: string, events: readonly RolloutEvent[]): Promise<void> {
    const before = await this.#load(id)
    if (!before) return
    let rollout = before.rollout
    const actions: Action[] = []
    for (const event of events) {
      const next = step(rollout, event)
      rollout = next.rollout
      actions.push(...next.actions)
    }
    if (rollout !== before.rollout || actions.length > 0) await this.#save(before, rollout, actions)
    for (const action of actions) await this.#perform(rollout, action)
  }

  async #save(before: StoredRollout, rollout: Rollout, actions: readonly Action[]): Promise<void> {
    const { database, clock, audit } = this.#needs
    const records = actions.filter((action) => action.do === 'record')
    const isSame =
      records.length === 0 && JSON.stringify(plain(rollout)) === JSON.stringify(plain(before.rollout))
    if (isSame && rollout.deployments === before.rollout.deployments) return
    const at = clock()
    const stored = { rollout, head: { ...before.head, revision: before.head.revision + 1, updatedAt: at } }
    await database.transaction(async (trx) => {
      await saveRollout(trx, stored, before.rollout)
      for (const { kind, who, message, evidence } of records)
        await insertRolloutEntry(trx, rollout.id, { at, kind, who, message, evidence })
      if (rollout.phase !== before.rollout.phase) {
        const { who = 'hub', text = '' } = rollout.reason ?? {}
        const entry = {
          who,
          action: `rollout.${rollout.phase}`,
          subject: rollout.id,
          detail: { reason: text },
        }
        await audit.append(trx, entry)
      }
      await this.#tell(trx, stored)
    })
    if (isActive(rollout) || rollout.toRestore.length > 0) this.#unfinished.set(rollout.id, stored)
    else this.#unfinished.delete(rollout.id)
  }

  async #perform(rollout: Rollout, action: Action): Promise<void> {
    if (action.do === 'record') return
    const { deviceIds } = action
    let versions: Map<string, number>
    try {
      versions =
        action.do === 'direct'
          ? await this.#setGoal(
              rollout,
              deviceIds,
              action.force ? { ...rollout.goal, force: true } : rollout.goal,
            )
          : await this.#restore(rollout, deviceIds)
    } catch (error) {
      // What is decided is on record; the next tick finds it without a directive and asks again.
      this.#needs.log.error({ err: error, rollout: rollout.id }, 'directives could not be signed')
      return
    }
    await this.#apply(rollout.id, [{ type: 'directed', at: this.#needs.clock(), deviceIds, versions }])
  }

  #setGoal(rollout: Rollout, deviceIds: readonly string[], goal: SlotGoal): Promise<Map<string, number>> {
    const options = { who: `rollout:${rollout.id}`, windowMs: rollout.plan.windowMs }
    return this.#needs.directives.setGoal(deviceIds, rollout.slot, goal, options)
  }

  /** Takes back only what is this rollout's own: a goal that somebody has set since stays. */
  async #restore(rollout: Rollout, deviceIds: readonly string[]): Promise<Map<string, number>> {
    const { directives } = this.#needs
    const groups = new Map<string, { previous: SlotGoal | null; deviceIds: string[] }>()
    for (const deviceId of deviceIds) {
      const previous = rollout.deployments.get(deviceId)?.previous ?? null
      const set = (await directives.goalsOf(deviceId))[rollout.slot]?.releaseDigest
      if (set !== rollout.goal.releaseDigest && set !== previous?.releaseDigest) continue
      const key = JSON.stringify(previous)
      const group = groups.get(key) ?? { previous, deviceIds: [] }
      group.deviceIds.push(deviceId)
      groups.set(key, group)
    }
    const versions = new Map<string, number>()
    for (const { previous, deviceIds } of groups.values()) {
      const set = previous
        ? await this.#setGoal(rollout, deviceIds, previous)
        : await directives.removeGoal(deviceIds, rollout.slot, { who: `rollout:${rollout.id}` })
      for (const [deviceId, version] of set) versions.set(deviceId, version)
    }
    return versions
  }

  /** One active rollout per device and slot: two would take turns undoing each other. */
  #conflictOf(rollout: Rollout): string | undefined {
    for (const { rollout: other } of this.#unfinished.values()) {
      if (other.id === rollout.id || other.slot !== rollout.slot || !isActive(other)) continue
      const shared = [...rollout.deployments.keys()].filter((id) => other.deployments.has(id))
      if (shared.length === 0) continue
      const who = shared.slice(0, 3).join(', ') + (shared.length > 3 ? ` and ${shared.length - 3} more` : '')
      return `rollout ${other.id} (${other.goal.model} ${other.goal.version}) is ${other.phase} on ${who}`
    }
    return undefined
  }

  async #tell(trx: Db, { rollout, head }: StoredRollout): Promise<void> {
    const news = { id: rollout.id, phase: rollout.phase, waves: wavesOf(rollout), counts: countsOf(rollout) }
    const text = JSON.stringify(news)
    if (this.#told.get(rollout.id) === text) return
    this.#told.set(rollout.id, text)
    const data = { ...news, revision: head.revision, verdict: verdictSentence(rollout) }
    await this.#needs.feed.append(trx, { topic: `rollout:${rollout.id}`, type: 'rollout.state', data })
  }
}

function take(set: Set<string>): string[] {
  const all = [...set]
  set.clear()
  return all
}

function placeOf(rollout: Rollout): string {
  const index = currentWave(rollout)
  return `${rollout.phase} ${index} ${index === undefined ? '' : rollout.waves[index]!.state}`
}

function plain({ phase, since, reason, waves, toRestore }: Rollout) {
  return { phase, since, reason, waves, toRestore }
}

function wavesOf(rollout: Rollout): { name: string; state: string }[] {
  return rollout.waves.map(({ name, state }) => ({ name, state }))
}

export function countsOf(rollout: Rollout, wave?: number): Partial<Record<DeploymentState, number>> {
  const counts: Partial<Record<DeploymentState, number>> = {}
  for (const deployment of rollout.deployments.values())
    if (wave === undefined || deployment.wave === wave)
      counts[deployment.state] = (counts[deployment.state] ?? 0) + 1
  return counts
}
