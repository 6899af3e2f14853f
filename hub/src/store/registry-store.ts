import type { Selectable } from 'kysely'
import type { Model, ModelVersion } from '../registry/model.ts'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

export async function allModels(db: Db): Promise<Model[]> {
  return (await db.selectFrom('model').selectAll().orderBy('name').execute()).map(toModel)
}

export async function modelByName(db: Db, name: string): Promise<Model | undefined> {
  const row = await db.selectFrom('model').selectAll().where('name', '=', name).executeTakeFirst()
  return row && toModel(row)
}

/** False when there is one of that name. */
export async function insertModel(db: Db, { name, description, createdAt }: Model): Promise<boolean> {
  const insert = db.insertInto('model').values({ name, description, created_at: createdAt })
  const done = await insert.onConflict((conflict) => conflict.column('name').doNothing()).executeTakeFirst()
  return done.numInsertedOrUpdatedRows === 1n
}

const versionColumns = [
  'model',
  'version',
  'release_digest',
  'release_counter',
  'release_bytes',
  'created_at',
  'created_by',
  'listed_at',
  'delisted_at',
] as const

/** Newest release first. */
export async function versionsOf(db: Db, model: string): Promise<ModelVersion[]> {
  const all = db.selectFrom('version').select(versionColumns).where('model', '=', model)
  return (await all.orderBy('release_counter', 'desc').execute()).map(toVersion)
}

export async function everyVersion(db: Db): Promise<ModelVersion[]> {
  const all = db.selectFrom('version').select(versionColumns)
  return (await all.orderBy('model').orderBy('release_counter').execute()).map(toVersion)
}

export async function versionByName(
  db: Db,
  model: string,
  version: string,
): Promise<ModelVersion | undefined> {
  const one = db.selectFrom('version').select(versionColumns).where('model', '=', model)
  const row = await one.where('version', '=', version).executeTakeFirst()
  return row && toVersion(row)
}

export async function versionOfDigest(db: Db, releaseDigest: string): Promise<ModelVersion | undefined> {
  const one = db.selectFrom('version').select(versionColumns).where('release_digest', '=', releaseDigest)
  const row = await one.executeTakeFirst()
  return row && toVersion(row)
}

export async function releaseJsonOf(db: Db, model: string, version: string): Promise<string | undefined> {
  const one = db.selectFrom('version').select('release_json').where('model', '=', model)
  return (await one.where('version', '=', version).executeTakeFirst())?.release_json
}

export async function insertVersion(db: Db, version: ModelVersion, releaseJson: string): Promise<void> {
  await db
    .insertInto('version')
    .values({
      model: version.model,
      version: version.version,
      release_digest: version.releaseDigest,
      release_counter: version.releaseCounter,
      release_bytes: version.releaseBytes,
      release_json: releaseJson,
      created_at: version.createdAt,
      created_by: version.createdBy,
      listed_at: null,
      delisted_at: null,
    })
    .execute()
}

/** The first listing's time stays when a version is listed again. */
export async function markListed(db: Db, releaseDigest: string, at: number): Promise<void> {
  const version = db.updateTable('version').where('release_digest', '=', releaseDigest)
  await version.set({ delisted_at: null }).execute()
  await version.set({ listed_at: at }).where('listed_at', 'is', null).execute()
}

export async function markDelisted(db: Db, releaseDigest: string, at: number): Promise<void> {
  const version = db.updateTable('version').where('release_digest', '=', releaseDigest)
  await version
    .set({ delisted_at: at })
    .where('listed_at', 'is not', null)
    .where('delisted_at', 'is', null)
    .execute()
}

export async function aliasesOf(db: Db, model: string): Promise<Record<string, string>> {
  const rows = await db.selectFrom('alias').select(['alias', 'version']).where('model', '=', model).execute()
  return Object.fromEntries(rows.map(({ alias, version }) => [alias, version]))
}

export type AliasChange = { model: string; alias: string; version: string | null; at: number; who: string }

/** A null version takes the alias away. Every change stays in the history. */
export async function changeAlias(db: Db, { model, alias, version, at, who }: AliasChange): Promise<void> {
  if (version === null) {
    await db.deleteFrom('alias').where('model', '=', model).where('alias', '=', alias).execute()
  } else {
    const update = { version, set_at: at, set_by: who }
    await db
      .insertInto('alias')
      .values({ model, alias, ...update })
      .onConflict((conflict) => conflict.columns(['model', 'alias']).doUpdateSet(update))
      .execute()
  }
  await db.insertInto('alias_history').values({ model, alias, version, at, who }).execute()
}

function toModel(row: Selectable<Tables['model']>): Model {
  return { name: row.name, description: row.description, createdAt: row.created_at }
}

function toVersion(row: Pick<Selectable<Tables['version']>, (typeof versionColumns)[number]>): ModelVersion {
  return {
    model: row.model,
    version: row.version,
    releaseDigest: row.release_digest,
    releaseCounter: row.release_counter,
    releaseBytes: row.release_bytes,
    createdAt: row.created_at,
    createdBy: row.created_by,
    ...(row.listed_at !== null && { listedAt: row.listed_at }),
    ...(row.delisted_at !== null && { delistedAt: row.delisted_at }),
  }
}
