import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import { accept, type Verdict } from '@godwit/protocol/trust/refusal'
import type { Clock } from '../clock.ts'
import type { HubConfig } from '../config.ts'
import { createFeed } from '../feed.ts'
import { pathsIn } from '../init.ts'
import { openDatabase } from '../store/database.ts'
import { newestMetadata } from '../store/metadata-store.ts'
import { createAudit } from './audit.ts'
import { createDirectives } from './directives.ts'
import { readHubKeys } from './hub-keys.ts'
import { storeNextRoot } from './take-root.ts'

/** Keys that wait for a root that names them. */
export function nextKeysPath(stateDir: string): string {
  return join(stateDir, 'hub-keys.next.json')
}

/**
 * Exchanges all online keys of a hub that is not running: the root that names the new ones, then every directive
 * signed by the new director, then the file. Cut off anywhere, it is run again with the same root; before the last
 * step the hub does not start, because its keys do not fit its root.
 */
export async function rotateHubKeys(
  config: HubConfig,
  root: Uint8Array,
  clock: Clock,
): Promise<Verdict<{ version: number; directives: number }>> {
  const { stateDir, fleet, metadata } = config
  const paths = pathsIn(stateDir)
  const next = nextKeysPath(stateDir)
  if (!existsSync(next))
    throw new Fault('keys-unavailable', `expected new keys at ${next}; godwit hub keys --rotate makes them`)
  const keys = await readHubKeys(next)
  const database = openDatabase(paths.database)
  try {
    const { db } = database
    const listenerFailed = (cause: unknown) => {
      throw new Fault('rotation-failed', 'a listener failed', { cause })
    }
    const feed = createFeed(db, clock, listenerFailed)
    const audit = createAudit(database, clock, feed, { fleet, directorSeed: keys.director })
    const held = await newestMetadata(db, 'root')
    const isThere = held !== undefined && Buffer.compare(held.bytes, root) === 0
    const stored = isThere
      ? accept({ version: held.version })
      : await storeNextRoot({ database, clock, audit, keys, metadata }, root, 'godwit hub rotate-keys')
    if (!stored.trusted) return stored
    const around = { database, clock, audit, config, directorSeed: keys.director, listenerFailed }
    // By then every directive has expired: all of them are signed again.
    const all = Number.MAX_SAFE_INTEGER / 2
    const directives = await createDirectives(around).reissueExpiring(all, { overtake: true })
    await rename(next, paths.keys)
    return accept({ version: stored.value.version, directives })
  } finally {
    await database.close()
  }
}
