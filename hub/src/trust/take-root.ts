import { Fault } from '@godwit/protocol/fault'
import { rootBytesMax } from '@godwit/protocol/limits'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { checkInitialRoot, checkNextRoot } from '@godwit/protocol/trust/checks'
import { ed25519Only, openMetadata, type Root } from '@godwit/protocol/trust/metadata'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import type { Clock } from '../clock.ts'
import type { Database } from '../store/database.ts'
import { insertMetadata, newestMetadata } from '../store/metadata-store.ts'
import { everyVersion } from '../store/registry-store.ts'
import { type Audit, appendEntry } from './audit.ts'
import { relist, topSignatory } from './listing.ts'
import { flawOfRoot } from './root-check.ts'
import { type Signing, signOnline } from './sign-online.ts'
import { rootIn } from './stored-metadata.ts'
import { checkOfferedTargets } from './targets-check.ts'

/** Puts the publishers' first root and targets into an empty store, and signs the first snapshot and timestamp. */
export async function initialiseRepository(
  { transaction }: Database,
  first: { root: Uint8Array; targets: Uint8Array },
  signing: Signing,
  now: number,
): Promise<Verdict<Root>> {
  const root = checkInitialRoot(first.root, ed25519Only)
  if (!root.trusted) return root
  const flaw = flawOfRoot(root.value, signing.keys, now)
  if (flaw) return flaw
  const opened = openMetadata(first.targets, 'targets', ed25519Only)
  if (!opened.trusted) return opened
  const { version } = opened.value.signed
  const targets = checkOfferedTargets(first.targets, topSignatory(root.value), version, [], now)
  if (!targets.trusted) return targets
  await transaction(async (trx) => {
    if (await newestMetadata(trx, 'root'))
      throw new Fault('already-initialised', 'this hub already has a root')
    await insertMetadata(trx, { role: 'root', version: root.value.version, bytes: first.root }, now)
    await insertMetadata(trx, { role: 'targets', version, bytes: first.targets }, now)
    await signOnline(trx, ['snapshot', 'timestamp'], signing, now)
    const taken = (action: string, subject: number, bytes: Uint8Array) =>
      appendEntry(
        trx,
        { who: 'hub', action, subject: `${subject}`, detail: { sha256: sha256Hex(bytes) } },
        now,
      )
    await taken('root.accept', root.value.version, first.root)
    await taken('targets.accept', version, first.targets)
  })
  return root
}

/** The next root in one transaction with everything that hangs on it. */
export async function storeNextRoot(
  around: Signing & { database: Database; clock: Clock; audit: Audit },
  bytes: Uint8Array,
  who: string,
): Promise<Verdict<{ version: number; mustBeSignedAgain?: string[] }>> {
  const now = around.clock()
  return around.database.transaction(async (trx) => {
    if (bytes.length > rootBytesMax) {
      return refuse('length-exceeded', `root: ${bytes.length} bytes, at most ${rootBytesMax}`)
    }
    const next = checkNextRoot(await rootIn(trx), bytes, ed25519Only)
    if (!next.trusted) return next
    const flaw = flawOfRoot(next.value, around.keys, now)
    if (flaw) return flaw
    const { version } = next.value
    await insertMetadata(trx, { role: 'root', version, bytes }, now)
    const mustBeSignedAgain = await relist(trx, await everyVersion(trx), now)
    await signOnline(trx, ['snapshot', 'timestamp'], around, now)
    const detail = { sha256: sha256Hex(bytes) }
    await around.audit.append(trx, { who, action: 'root.accept', subject: `${version}`, detail })
    return accept(mustBeSignedAgain.length > 0 ? { version, mustBeSignedAgain } : { version })
  })
}
