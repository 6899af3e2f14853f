import { Fault } from '@godwit/protocol/fault'
import {
  ed25519Only,
  type MetadataOf,
  type MetadataType,
  openMetadata,
  type Root,
} from '@godwit/protocol/trust/metadata'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { Db } from '../store/database.ts'
import { newestMetadata, type StoredMetadata } from '../store/metadata-store.ts'

/** The newest of a role that every hub holds. */
export async function mustHave(db: Db, role: string): Promise<StoredMetadata> {
  const document = await newestMetadata(db, role)
  if (document) return document
  throw new Fault('not-initialised', `this hub has no ${role} metadata: run \`godwit hub init\` first`)
}

export async function rootIn(db: Db): Promise<Root> {
  return opened(await mustHave(db, 'root'), 'root')
}

export function expiryOf(document: StoredMetadata): number {
  return fromRfc3339(opened(document, document.role as MetadataType).expires)
}

/** It was checked before it was stored. */
export function opened<T extends keyof MetadataOf>(
  { bytes, version }: StoredMetadata,
  type: T,
): MetadataOf[T] {
  const document = openMetadata(bytes, type, ed25519Only)
  if (document.trusted) return document.value.signed
  throw new Fault('store-corrupt', `${type} ${version} in the store: ${document.detail}`)
}
