import { randomBytes } from 'node:crypto'
import { open, readFile, stat } from 'node:fs/promises'
import { Fault } from '@godwit/protocol/fault'
import { defineDocument } from '@godwit/protocol/schema'
import { fromHex, toHex } from '@godwit/protocol/trust/encoding'
import { type Key, keyOfSeed } from '@godwit/protocol/trust/key'
import Type from 'typebox'

export const onlineRoles = ['snapshot', 'timestamp', 'director'] as const
export type OnlineRole = (typeof onlineRoles)[number]

/** Seeds of 32 bytes. Online, so they can say what is current and who gets what, and never what may be released. */
export type HubKeys = Record<OnlineRole, Uint8Array>

const Seed = Type.String({ pattern: '^[0-9a-f]{64}$' })
const keysDocument = defineDocument(
  'hub keys',
  Type.Object({ format: Type.Literal('godwit-hub-keys/1'), snapshot: Seed, timestamp: Seed, director: Seed }),
)

export function newHubKeys(): HubKeys {
  return { snapshot: seed(), timestamp: seed(), director: seed() }
}

/** The public halves, for the publisher to put into root. */
export function publicHubKeys(keys: HubKeys): Record<OnlineRole, Key> {
  return {
    snapshot: keyOfSeed(keys.snapshot),
    timestamp: keyOfSeed(keys.timestamp),
    director: keyOfSeed(keys.director),
  }
}

export async function readHubKeys(path: string): Promise<HubKeys> {
  let text: string
  try {
    const { mode } = await stat(path)
    if ((mode & 0o077) !== 0) {
      const found = (mode & 0o777).toString(8)
      throw new Fault(
        'keys-exposed',
        `${path} has mode ${found}: others may read the hub's keys. Expected 600.`,
      )
    }
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    throw new Fault('keys-unavailable', `cannot read the hub's keys: ${(cause as Error).message}`, { cause })
  }
  const read = keysDocument.check(parseOrUndefined(text))
  if (!read.ok) throw new Fault('keys-damaged', `${path}: ${read.detail}. Restore it from a backup.`)
  const { snapshot, timestamp, director } = read.value
  return { snapshot: fromHex(snapshot)!, timestamp: fromHex(timestamp)!, director: fromHex(director)! }
}

/** Never over an existing file: its keys may be the only ones that the fleet's root names. */
export async function writeHubKeys(path: string, keys: HubKeys): Promise<void> {
  const [snapshot, timestamp, director] = onlineRoles.map((role) => toHex(keys[role]))
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(
      `${JSON.stringify({ format: 'godwit-hub-keys/1', snapshot, timestamp, director }, undefined, 2)}\n`,
    )
    await file.sync()
  } finally {
    await file.close()
  }
}

function seed(): Uint8Array {
  return Uint8Array.from(randomBytes(32))
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
