import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import { uuidv7 } from 'uuidv7'
import { hashOfSecret, newToken } from './access/secret.ts'
import { insertToken } from './store/access-store.ts'
import { openDatabase } from './store/database.ts'
import { type HubKeys, writeHubKeys } from './trust/hub-keys.ts'
import { initialiseRepository } from './trust/take-root.ts'

/** What lies where in the state directory. */
export function pathsIn(stateDir: string) {
  return {
    database: join(stateDir, 'hub.db'),
    keys: join(stateDir, 'hub-keys.json'),
    blobs: join(stateDir, 'blobs'),
  }
}

/** Life of the first token: time to make people accounts, and no key that lies about for ever. 90 days. */
export const firstTokenMs = 90 * 86_400_000

export type Beginning = {
  stateDir: string
  fleet: string
  /** Signed by the publishers' offline keys, naming the public halves of `hubKeys`. */
  root: Uint8Array
  /** Their first targets, which list nothing yet. */
  targets: Uint8Array
  hubKeys: HubKeys
  now?: number
}

/**
 * Makes the state of a new hub. Never over an old one: its keys and its record of the fleet exist only there.
 * Answers a first API token; the store holds its hash, so this is the only time that it is seen.
 * @throws Fault `already-initialised`, or `bad-trust` when root or targets would not be believed by a device
 */
export async function initialiseHub(beginning: Beginning): Promise<{ adminToken: string }> {
  const { stateDir, fleet, root, targets, hubKeys, now = Date.now() } = beginning
  const paths = pathsIn(stateDir)
  for (const path of [paths.database, paths.keys]) {
    if (existsSync(path)) {
      throw new Fault(
        'already-initialised',
        `${path} exists: ${stateDir} already belongs to a hub. Nothing was changed.`,
      )
    }
  }
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const database = openDatabase(paths.database)
  let isMade = false
  try {
    const metadata = { timestampExpiresMs: 86_400_000, snapshotExpiresMs: 7 * 86_400_000 }
    await database.db.insertInto('setting').values({ key: 'fleet', value: fleet }).execute()
    const verdict = await initialiseRepository(database, { root, targets }, { keys: hubKeys, metadata }, now)
    if (!verdict.trusted) throw new Fault('bad-trust', verdict.detail)
    const adminToken = newToken()
    const token = {
      id: uuidv7(),
      name: 'first',
      roles: ['admin'] as const,
      createdAt: now,
      expiresAt: now + firstTokenMs,
    }
    await insertToken(database.db, token, hashOfSecret(adminToken))
    // Last: without its keys the directory is no hub yet, and whoever tries again hears what to do.
    await writeHubKeys(paths.keys, hubKeys)
    isMade = true
    return { adminToken }
  } finally {
    await database.close()
    // A root that was refused must not leave a database behind that refuses the right one.
    if (!isMade) for (const end of ['', '-wal', '-shm']) await rm(paths.database + end, { force: true })
  }
}
