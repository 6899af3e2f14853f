import type { ModelSignature } from '../registry/model-signature.ts'
import type { Db } from './database.ts'

export async function signaturesOf(db: Db, model: string, version: string): Promise<ModelSignature[]> {
  const all = db
    .selectFrom('model_signature')
    .selectAll()
    .where('model', '=', model)
    .where('version', '=', version)
  const rows = await all.orderBy('added_at').orderBy('sha256').execute()
  return rows.map(({ sha256, size_bytes, hint, root, added_at, added_by }) => ({
    sha256,
    sizeBytes: size_bytes,
    hint,
    root,
    addedAt: added_at,
    addedBy: added_by,
  }))
}

export async function insertSignature(
  db: Db,
  model: string,
  version: string,
  { sha256, sizeBytes, hint, root, addedAt, addedBy }: ModelSignature,
): Promise<void> {
  const values = {
    model,
    version,
    sha256,
    size_bytes: sizeBytes,
    hint,
    root,
    added_at: addedAt,
    added_by: addedBy,
  }
  await db.insertInto('model_signature').values(values).execute()
}
