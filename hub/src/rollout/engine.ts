import type { Report } from '@godwit/protocol/messages/report'
import type { EpochMs } from '@godwit/protocol/units'
import type { Services } from '../services.ts'
import type { Db } from '../store/database.ts'
import { type Once, remember, remembered } from '../store/idempotency-store.ts'
import {
  type ApprovalDeed,
  type ApprovalRefusal,
  type Approvers,
  nobody,
  type Person,
  refusalOf,
} from './approval.ts'
import { type CreateRefusal, type CreateRequest, prepare } from './create.ts'
import { type Answer, answerIn } from './deployment.ts'
import { countsOf } from './deployments.ts'
import { EvidenceBook } from './evidence.ts'
import { setGoals } from './goals.ts'
import type { PlanMistake } from './plan.ts'
import {
  type Action,
  allowedActions,
  currentWave,
  isActive,
  type OperatorAction,
  type Rollout,
  type RolloutEvent,
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
import { step } from './step.ts'

export type CreateVerdict =
  /** `answer`: this very request has been answered before, with that. */
  | { created: true; stored: StoredRollout; answer?: unknown }
  | { created: false; because: CreateRefusal | 'other-request'; mistakes: PlanMistake[] }
export type ActRefusal = 'unknown-rollout' | 'not-allowed' | 'conflict' | 'other-revision'
export type ActVerdict =
  | { acted: true; stored: StoredRollout }
  | { acted: false; because: ActRefusal | ApprovalRefusal; detail: string }

/** Who orders what. `revisions`: do it only if the rollout still has one of these; absent: whatever it has. */
export type Wish = { who: string; reason: string; revisions?: readonly number[] }
export type ApprovalWish = Wish & { person: Person; sha256?: string }

type Needs = Pick<
  Services,
  'database' | 'clock' | 'config' | 'feed' | 'audit' | 'fleet' | 'registry' | 'directives' | 'log'
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
  readonly #people: () => Promise<readonly Person[]>
  readonly #serial = new Serial()
  readonly #unfinished = new Map<string, StoredRollout>()
  /** What live views were last told, so that a tick without news stays silent. */
  readonly #told = new Map<string, string>()
  readonly #heard = new Set<string>()
  readonly #revoked = new Set<string>()
  readonly #evidence = new EvidenceBook()

  /** @param people the users who may approve at this moment */
  constructor(needs: Needs, newId: () => string, people: () => Promise<readonly Person[]>) {
    this.#needs = needs
    this.#newId = newId
    this.#people = people
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

  /** Newest first, from below this id on. */
  entries(id: string, before: number | undefined, limit: number): Promise<RolloutEntry[]> {
    return rolloutEntries(this.#needs.database.db, id, before, limit)
  }

  async approvers(): Promise<Approvers> {
    return { minimum: this.#needs.config.rollouts.approvals, people: await this.#people() }
  }

  /** Everything that a tick may still move, newest first. */
  unfinished(): StoredRollout[] {
    return [...this.#unfinished.values()].sort((a, b) => (a.rollout.id < b.rollout.id ? 1 : -1))
  }

  activeCount(): number {
    return [...this.#unfinished.values()].filter(({ rollout }) => isActive(rollout)).length
  }

  /** @param once a request that its sender may repeat: it makes one rollout, however often it comes */
  create(request: CreateRequest, who: string, once?: Once): Promise<CreateVerdict> {
    return this.#serial.run(async () => {
      const at = this.#needs.clock()
      const earlier = once && (await this.#answered(once, at))
      if (earlier) return earlier
      const approvalsMin = this.#needs.config.rollouts.approvals
      const prepared = await prepare(this.#needs, request, { id: this.#newId(), at, approvalsMin })
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
      const approvers = await this.approvers()
      await this.#needs.database.transaction(async (trx) => {
        await insertRollout(trx, stored)
        if (once) await remember(trx, once, rollout.id, at)
        const { model, version } = request
        const message = `${model} ${version} for ${rollout.deployments.size} devices in ${rollout.waves.length} waves`
        await insertRolloutEntry(trx, rollout.id, { at, kind: 'created', who, message })
        const detail = { model, version, selector: request.selector, devices: rollout.deployments.size }
        await this.#needs.audit.append(trx, { who, action: 'rollout.create', subject: rollout.id, detail })
        await this.#tell(trx, stored, approvers)
      })
      this.#unfinished.set(rollout.id, stored)
      await this.#tickOne(rollout.id)
      return { created: true, stored: this.#unfinished.get(rollout.id)! }
    })
  }

  act(id: string, action: OperatorAction, { who, reason, revisions }: Wish): Promise<ActVerdict> {
    return this.#wished(id, revisions, async ({ rollout }) => {
      if (!allowedActions(rollout).includes(action)) {
        const may = allowedActions(rollout).join(', ') || 'nothing'
        const detail = `rollout ${id} is ${rollout.phase}: ${action} is not possible, only ${may}`
        return { acted: false, because: 'not-allowed', detail }
      }
      const conflict = isActive(rollout) ? undefined : this.#conflictOf(rollout)
      if (conflict) return { acted: false, because: 'conflict', detail: conflict }
      const approvers = await this.approvers()
      await this.#apply(id, [{ type: action, at: this.#needs.clock(), who, reason, approvers }])
      return undefined
    })
  }

  decide(id: string, deed: ApprovalDeed, wish: ApprovalWish): Promise<ActVerdict> {
    const { who, reason, person, sha256, revisions } = wish
    return this.#wished(id, revisions, async ({ rollout }) => {
      const approvers = await this.approvers()
      const said = { type: deed, at: this.#needs.clock(), who, reason, person, sha256, approvers }
      const refusal = refusalOf(rollout, said)
      if (refusal) return { acted: false, ...refusal }
      await this.#apply(id, [said])
      return undefined
    })
  }

  /** @param carryOut answers why it was not done, or undefined */
  #wished(
    id: string,
    revisions: readonly number[] | undefined,
    carryOut: (stored: StoredRollout) => Promise<ActVerdict | undefined>,
  ): Promise<ActVerdict> {
    return this.#serial.run(async () => {
      const stored = await this.#load(id)
      if (!stored) return { acted: false, because: 'unknown-rollout', detail: `there is no rollout ${id}` }
      const { revision } = stored.head
      if (revisions && !revisions.includes(revision)) {
        const detail = `rollout ${id} has revision ${revision}, asked for was ${revisions.join(' or ')}`
        return { acted: false, because: 'other-revision', detail }
      }
      const refused = await carryOut(stored)
      if (refused) return refused
      await this.#tickOne(id)
      return { acted: true, stored: (await this.#load(id))! }
    })
  }

  async #answered(once: Once, at: number): Promise<CreateVerdict | undefined> {
    const earlier = await remembered(this.#needs.database.db, once, at)
    if (!earlier) return undefined
    if (earlier.requestSha256 === once.requestSha256)
      return { created: true, stored: (await this.#load(earlier.subject))!, answer: earlier.answer }
    const detail = 'this Idempotency-Key was sent with another request before'
    return { created: false, because: 'other-request', mistakes: [{ pointer: '#', detail }] }
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
      const revoked = take(this.#revoked)
      const answers = new Map<string, Map<string, Answer>>()
      for (const deviceId of take(this.#heard)) {
        const report = (await this.#needs.fleet.device(deviceId))?.report
        if (!report) continue
        for (const { id, slot } of await this.#concerned(deviceId, report, at)) {
          const answer = answerIn(report, slot)
          if (answer) answers.set(id, (answers.get(id) ?? new Map<string, Answer>()).set(deviceId, answer))
        }
      }
      const left = new Set(answers.keys())
      for (const [id, { rollout }] of this.#unfinished)
        if (revoked.some((deviceId) => rollout.deployments.has(deviceId))) left.add(id)
      for (const id of left) {
        const gone = revoked.map((deviceId): RolloutEvent => ({ type: 'revoked', at, deviceId }))
        await this.#apply(id, [...gone, { type: 'answered', at, answers: answers.get(id) ?? new Map() }])
        await this.#tickOne(id)
      }
    })
  }

  /** Rollouts that this report may be news for. One that is over is looked at without its other devices first. */
  async #concerned(deviceId: string, report: Report, at: EpochMs): Promise<Pick<Rollout, 'id' | 'slot'>[]> {
    const { db } = this.#needs.database
    const unfinished = [...this.#unfinished.values()].map(({ rollout }) => rollout)
    const found: Pick<Rollout, 'id' | 'slot'>[] = unfinished.filter((r) => r.deployments.has(deviceId))
    for (const id of await rolloutIdsAwaiting(db, deviceId)) {
      if (this.#unfinished.has(id)) continue
      const alone = await rolloutById(db, id, deviceId)
      const answer = alone && answerIn(report, alone.rollout.slot)
      if (!answer) continue
      const heard = step(alone.rollout, { type: 'answered', at, answers: new Map([[deviceId, answer]]) })
      if (heard.rollout !== alone.rollout) found.push(alone.rollout)
    }
    return found
  }

  async #load(id: string): Promise<StoredRollout | undefined> {
    return this.#unfinished.get(id) ?? rolloutById(this.#needs.database.db, id)
  }

  async #tickOne(id: string): Promise<void> {
    for (let move = 0; move < movesPerTick; move++) {
      const before = await this.#load(id)
      if (!before) return
      const at = this.#needs.clock()
      const evidence = await this.#evidence.of(this.#needs.database.db, before.rollout, at)
      const approvers = asksForApproval(before.rollout) ? await this.approvers() : nobody
      await this.#apply(id, [{ type: 'tick', at, evidence, approvers }])
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
    const approvers = asksForApproval(rollout) ? await this.approvers() : nobody
    await database.transaction(async (trx) => {
      await saveRollout(trx, stored, before.rollout)
      for (const { kind, who, message, evidence } of records) {
        await insertRolloutEntry(trx, rollout.id, { at, kind, who, message, evidence })
        const action = auditedKinds[kind]
        const detail = { ...(evidence as Record<string, unknown>), message }
        if (action) await audit.append(trx, { who, action, subject: rollout.id, detail })
      }
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
      await this.#tell(trx, stored, approvers)
    })
    if (isActive(rollout) || rollout.toRestore.length > 0) this.#unfinished.set(rollout.id, stored)
    else this.#unfinished.delete(rollout.id)
  }

  async #perform(rollout: Rollout, action: Action): Promise<void> {
    if (action.do === 'record') return
    const { deviceIds } = action
    let versions: Map<string, number>
    try {
      versions = await setGoals(this.#needs.directives, rollout, action)
    } catch (error) {
      // What is decided is on record; the next tick finds it without a directive and asks again.
      this.#needs.log.error({ err: error, rollout: rollout.id }, 'directives could not be signed')
      return
    }
    await this.#apply(rollout.id, [{ type: 'directed', at: this.#needs.clock(), deviceIds, versions }])
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

  async #tell(trx: Db, { rollout, head }: StoredRollout, approvers: Approvers): Promise<void> {
    const { id, phase, approvals, deployments } = rollout
    const news = {
      id,
      phase,
      waves: wavesOf(rollout),
      counts: countsOf(deployments),
      approvals: approvals.length,
    }
    const text = JSON.stringify(news)
    if (this.#told.get(rollout.id) === text) return
    this.#told.set(rollout.id, text)
    const data = { ...news, revision: head.revision, verdict: verdictSentence(rollout, approvers) }
    await this.#needs.feed.append(trx, { topic: `rollout:${rollout.id}`, type: 'rollout.state', data })
  }
}

/** Words of people that the audit keeps beside the changes of phase. */
const auditedKinds: Record<string, string> = {
  approved: 'rollout.approve',
  rejected: 'rollout.reject',
  withdrawn: 'rollout.withdraw',
}

/** Is it worth looking up who could give it? */
function asksForApproval({ phase, waves }: Rollout): boolean {
  if (phase === 'awaiting_approval' || phase === 'scheduled') return true
  return waves.some(({ state }) => state === 'awaiting_approval')
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

function plain({ phase, since, reason, approvals, waves, toRestore }: Rollout) {
  return { phase, since, reason, approvals, waves, toRestore }
}

function wavesOf(rollout: Rollout): { name: string; state: string }[] {
  return rollout.waves.map(({ name, state }) => ({ name, state }))
}
