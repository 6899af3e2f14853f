import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

/** `forcedAt` is the directive version whose `force` the device has yet to answer. */
export type StoredGoal = { slot: string; goal: SlotGoal; windowMs?: number; forcedAt?: number }

export async function goalsOfDevice(db: Db, deviceId: string): Promise<StoredGoal[]> {
  const rows = db.selectFrom('goal').selectAll().where('device_id', '=', deviceId)
  return (await rows.orderBy('slot').execute()).map(toGoal)
}

export async function saveGoal(
  db: Db,
  deviceId: string,
  { slot, goal, windowMs, forcedAt }: StoredGoal,
  by: { who: string; at: number },
): Promise<void> {
  const values = {
    model: goal.model,
    version: goal.version,
    release_digest: goal.releaseDigest,
    release_bytes: goal.releaseBytes,
    probation_json: JSON.stringify(goal.probation),
    install_windows_json: goal.installWindows ? JSON.stringify(goal.installWindows) : null,
    force: forcedAt ?? 0,
    window_ms: windowMs ?? null,
    set_by: by.who,
    set_at: by.at,
  }
  await db
    .insertInto('goal')
    .values({ device_id: deviceId, slot, ...values })
    .onConflict((conflict) => conflict.columns(['device_id', 'slot']).doUpdateSet(values))
    .execute()
}

export async function deleteGoal(db: Db, deviceId: string, slot: string): Promise<boolean> {
  const goal = db.deleteFrom('goal').where('device_id', '=', deviceId).where('slot', '=', slot)
  return (await goal.executeTakeFirst()).numDeletedRows > 0n
}

export type StoredDirective = {
  deviceId: string
  version: number
  envelope: string
  issuedAt: number
  expiresAt: number
}

export async function insertDirective(db: Db, directive: StoredDirective): Promise<void> {
  const { deviceId, version, envelope, issuedAt, expiresAt } = directive
  const values = { device_id: deviceId, version, envelope, issued_at: issuedAt, expires_at: expiresAt }
  await db.insertInto('directive').values(values).execute()
}

export async function newestDirective(
  db: Db,
  deviceId: string,
): Promise<{ envelope: Uint8Array; expiresAt: number } | undefined> {
  const all = db.selectFrom('directive').select(['envelope', 'expires_at']).where('device_id', '=', deviceId)
  const row = await all.orderBy('version', 'desc').limit(1).executeTakeFirst()
  return row && { envelope: new TextEncoder().encode(row.envelope), expiresAt: row.expires_at }
}

/** Devices whose current directive ends before `at`; revoked ones get no more. */
export async function devicesWithDirectiveEndingBefore(db: Db, at: number): Promise<string[]> {
  const rows = await db
    .selectFrom('device')
    .innerJoin('directive', (join) =>
      join
        .onRef('directive.device_id', '=', 'device.id')
        .onRef('directive.version', '=', 'device.directive_version'),
    )
    .select('device.id as id')
    .where('device.revoked_at', 'is', null)
    .where('directive.expires_at', '<', at)
    .execute()
  return rows.map(({ id }) => id)
}

function toGoal(row: Selectable<Tables['goal']>): StoredGoal {
  const { slot, model, version, release_digest, release_bytes, window_ms, force } = row
  const release = { releaseDigest: release_digest, releaseBytes: release_bytes }
  return {
    slot,
    goal: {
      ...{ model, version, ...release, probation: JSON.parse(row.probation_json) },
      ...(row.install_windows_json !== null && { installWindows: JSON.parse(row.install_windows_json) }),
    },
    ...(window_ms !== null && { windowMs: window_ms }),
    ...(force > 0 && { forcedAt: force }),
  }
}
