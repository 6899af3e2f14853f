import { targetPathOf } from '@godwit/protocol/release/release'
import type { Root } from '@godwit/protocol/trust/metadata'
import type { ModelVersion } from '../registry/model.ts'
import type { Db } from '../store/database.ts'
import { newestDelegated } from '../store/metadata-store.ts'
import { markDelisted, markListed } from '../store/registry-store.ts'
import { pathsListedBy, type Signatory, signatoryOf, stillSigned } from './delegations.ts'
import { mustHave, rootIn } from './stored-metadata.ts'

/**
 * Marks every version by whether a device would find it: listed by the top-level targets or by a team that they
 * delegate to, each signed by keys that count now. Answers the roles whose document is no longer signed well enough.
 */
export async function relist(trx: Db, uploaded: readonly ModelVersion[], now: number): Promise<string[]> {
  const top = topSignatory(await rootIn(trx))
  const targets = stillSigned((await mustHave(trx, 'targets')).bytes, top)
  const listed = new Set(targets && pathsListedBy(targets, top))
  const unsigned = targets ? [] : ['targets']
  for (const { role, bytes } of targets ? await newestDelegated(trx) : []) {
    const signatory = signatoryOf(role, targets!)
    if (!signatory) continue
    const document = stillSigned(bytes, signatory)
    if (!document) unsigned.push(role)
    else for (const path of pathsListedBy(document, signatory)) listed.add(path)
  }
  for (const { model, version, releaseDigest } of uploaded) {
    const isListed = listed.has(targetPathOf(model, version))
    await (isListed ? markListed : markDelisted)(trx, releaseDigest, now)
  }
  return unsigned
}

export function topSignatory(root: Root): Signatory {
  return { name: 'targets', keys: root.keys, role: root.roles['targets']! }
}
