import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { ResultCode } from '@godwit/protocol/result-code'
import { type Selectable, sql } from 'kysely'
import type { Db } from '../store/database.ts'
import type { Tables } from '../store/tables.ts'
import type { Approval } from './approval.ts'
import type { Deployment, DeploymentState } from './deployment.ts'
import { saveBaselines } from './evidence.ts'
import type { Plan } from './plan.ts'
import type { Rollout, RolloutPhase } from './rollout.ts'

/** What the list of rollouts shows without the deployments. */
export type RolloutHead = {
  revision: number
  createdAt: number
  createdBy: string
  updatedAt: number
  selector: string
}
export type StoredRollout = { rollout: Rollout; head: RolloutHead }
export type RolloutEntry = {
  id: number
  at: number
  kind: string
  who: string
  message: string
  evidence?: unknown
}

type StateJson = Pick<Rollout, 'goal' | 'since' | 'reason' | 'waves' | 'toRestore'> & { selector: string }

export async function insertRollout(db: Db, { rollout, head }: StoredRollout): Promise<void> {
  const { id, slot, goal, plan } = rollout
  await db
    .insertInto('rollout')
    .values({
      id,
      model: goal.model,
      version: goal.version,
      slot,
      plan_json: JSON.stringify(plan),
      ...changing(rollout, head),
      created_at: head.createdAt,
      created_by: head.createdBy,
      creator_id: rollout.creatorId,
    })
    .execute()
  await saveDeployments(db, id, [...rollout.deployments.values()])
}

/** Writes what a step changed: the head, and only those deployments that are not the same objects as before. */
export async function saveRollout(db: Db, { rollout, head }: StoredRollout, before: Rollout): Promise<void> {
  await db.updateTable('rollout').set(changing(rollout, head)).where('id', '=', rollout.id).execute()
  const changed = [...rollout.deployments.values()].filter((d) => before.deployments.get(d.deviceId) !== d)
  await saveDeployments(db, rollout.id, changed)
  if (rollout.approvals !== before.approvals) await saveApprovals(db, rollout)
  await saveBaselines(db, rollout, before)
}

/** One per person and wave, and the table's key says so too. */
async function saveApprovals(db: Db, { id, approvals }: Rollout): Promise<void> {
  await db.deleteFrom('rollout_approval').where('rollout_id', '=', id).execute()
  const rows = approvals.map(({ person, wave, sha256, at, reason }) => ({
    ...{ rollout_id: id, user_id: person.id, user_name: person.name, wave: wave ?? '', sha256, at, reason },
  }))
  if (rows.length > 0) await db.insertInto('rollout_approval').values(rows).execute()
}

async function approvalsById(db: Db, id: string): Promise<Approval[]> {
  const rows = db.selectFrom('rollout_approval').selectAll().where('rollout_id', '=', id)
  return (await rows.orderBy('at').orderBy('user_id').execute()).map((row) => ({
    person: { id: row.user_id, name: row.user_name },
    wave: row.wave === '' ? null : row.wave,
    ...{ sha256: row.sha256, at: row.at, reason: row.reason },
  }))
}

function changing({ phase, goal, since, reason, waves, toRestore }: Rollout, head: RolloutHead) {
  const state: StateJson = { goal, since, reason, waves, toRestore, selector: head.selector }
  return { phase, state_json: JSON.stringify(state), revision: head.revision, updated_at: head.updatedAt }
}

/** Below SQLite's limit of 32,766 parameters with room to spare. */
const rowsPerStatement = 1_000

async function saveDeployments(db: Db, rolloutId: string, deployments: readonly Deployment[]): Promise<void> {
  for (let from = 0; from < deployments.length; from += rowsPerStatement) {
    const rows = deployments.slice(from, from + rowsPerStatement).map((d) => ({
      rollout_id: rolloutId,
      device_id: d.deviceId,
      wave: d.wave,
      state: d.state,
      code: d.code,
      detail: d.detail,
      directive_version: d.directiveVersion,
      previous_json: d.previous && JSON.stringify(d.previous),
      updated_at: d.since,
    }))
    await db
      .insertInto('rollout_device')
      .values(rows)
      .onConflict((conflict) =>
        conflict.columns(['rollout_id', 'device_id']).doUpdateSet(({ ref }) => ({
          state: ref('excluded.state'),
          code: ref('excluded.code'),
          detail: ref('excluded.detail'),
          directive_version: ref('excluded.directive_version'),
          updated_at: ref('excluded.updated_at'),
        })),
      )
      .execute()
  }
}

/** @param onlyDevice leaves all other deployments away; absent: all of them */
export async function rolloutById(
  db: Db,
  id: string,
  onlyDevice?: string,
): Promise<StoredRollout | undefined> {
  const row = await db.selectFrom('rollout').selectAll().where('id', '=', id).executeTakeFirst()
  if (!row) return undefined
  const { goal, since, reason, waves, toRestore, selector } = JSON.parse(row.state_json) as StateJson
  return {
    rollout: {
      id,
      slot: row.slot,
      goal,
      plan: JSON.parse(row.plan_json) as Plan,
      creatorId: row.creator_id,
      phase: row.phase as RolloutPhase,
      since,
      reason,
      approvals: await approvalsById(db, id),
      waves,
      toRestore,
      deployments: await deploymentsById(db, id, onlyDevice),
    },
    head: {
      revision: row.revision,
      createdAt: row.created_at,
      createdBy: row.created_by,
      updatedAt: row.updated_at,
      selector,
    },
  }
}

/** In the order of their waves. Within a wave the queue's order does not outlive a restart, and need not. */
async function deploymentsById(db: Db, id: string, onlyDevice?: string): Promise<Map<string, Deployment>> {
  const all = db.selectFrom('rollout_device').selectAll().where('rollout_id', '=', id)
  const rows = onlyDevice === undefined ? all : all.where('device_id', '=', onlyDevice)
  const deployments = (await rows.orderBy('wave').orderBy('device_id').execute()).map(toDeployment)
  return new Map(deployments.map((deployment) => [deployment.deviceId, deployment]))
}

export type DeploymentQuery = {
  state?: string | undefined
  after?: Pick<Deployment, 'wave' | 'deviceId'> | undefined
  limit: number
}

/** In the order of waves, then of ids. */
export async function deploymentsOf(db: Db, id: string, { state, after, limit }: DeploymentQuery) {
  let rows = db.selectFrom('rollout_device').selectAll().where('rollout_id', '=', id)
  if (state !== undefined) rows = rows.where('state', '=', state)
  if (after) rows = rows.where(sql<boolean>`(wave, device_id) > (${after.wave}, ${after.deviceId})`)
  const sorted = rows.orderBy('wave').orderBy('device_id').limit(limit)
  return (await sorted.execute()).map(toDeployment)
}

function toDeployment(row: Selectable<Tables['rollout_device']>): Deployment {
  return {
    deviceId: row.device_id,
    wave: row.wave,
    state: row.state as DeploymentState,
    since: row.updated_at,
    directiveVersion: row.directive_version,
    previous: row.previous_json === null ? null : (JSON.parse(row.previous_json) as SlotGoal),
    code: row.code as ResultCode | null,
    detail: row.detail,
  }
}

/** Rollouts that a tick may still move: the active ones, and aborted ones whose goals are not all taken back. */
export async function unfinishedRolloutIds(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom('rollout')
    .select('id')
    .where(({ or, eb }) =>
      or([
        eb('phase', 'not in', ['completed', 'aborted', 'rolled_back']),
        eb('state_json', 'like', '%"toRestore":["%'),
      ]),
    )
    .orderBy('id')
    .execute()
  return rows.map(({ id }) => id)
}

/** Rollouts that are over but for this device, which never answered. */
export async function rolloutIdsAwaiting(db: Db, deviceId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('rollout_device')
    .select('rollout_id')
    .where('device_id', '=', deviceId)
    .where('state', '=', 'unreached')
    .execute()
  return rows.map((row) => row.rollout_id)
}

/** Newest first, because ids are UUIDs of version 7. */
export async function rolloutIds(db: Db, before: string | undefined, limit: number): Promise<string[]> {
  let query = db.selectFrom('rollout').select('id').orderBy('id', 'desc').limit(limit)
  if (before !== undefined) query = query.where('id', '<', before)
  return (await query.execute()).map(({ id }) => id)
}

export async function insertRolloutEntry(
  db: Db,
  rolloutId: string,
  { at, kind, who, message, evidence }: Omit<RolloutEntry, 'id'>,
): Promise<void> {
  const evidence_json = evidence === undefined ? null : JSON.stringify(evidence)
  await db
    .insertInto('rollout_event')
    .values({ rollout_id: rolloutId, at, kind, who, message, evidence_json })
    .execute()
}

/** Newest first. @param before the id to go on below; undefined: from the newest */
export async function rolloutEntries(
  db: Db,
  rolloutId: string,
  before: number | undefined,
  limit: number,
): Promise<RolloutEntry[]> {
  const rows = await db
    .selectFrom('rollout_event')
    .selectAll()
    .where('rollout_id', '=', rolloutId)
    .where('id', '<', before ?? Number.MAX_SAFE_INTEGER)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
  return rows.map(({ id, at, kind, who, message, evidence_json }) => ({
    id,
    at,
    kind,
    who,
    message,
    ...(evidence_json === null ? {} : { evidence: JSON.parse(evidence_json) as unknown }),
  }))
}
