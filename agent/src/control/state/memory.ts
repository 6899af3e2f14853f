import type { Checkpoint } from '../../runner/messages.ts'
import type { Database } from './database.ts'

/** Small durable values, by name. Nothing else spells `meta` or `checkpoint`. */
export function readMeta(database: Database, name: string): string | undefined {
  return database.get('SELECT value FROM meta WHERE name = ?', name)?.['value'] as string | undefined
}

export function writeMeta(database: Database, name: string, value: string): void {
  database.run('INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', name, value)
}

/** Read or made once; the first answer is stored before it is used. */
export function metaOnce(database: Database, name: string, make: () => string): string {
  const known = readMeta(database, name)
  if (known !== undefined) return known
  const made = make()
  writeMeta(database, name, made)
  return made
}

export function writeCheckpoint(database: Database, slot: string, checkpoint: Checkpoint): void {
  database.run('INSERT OR REPLACE INTO checkpoint VALUES (?, ?)', slot, JSON.stringify(checkpoint))
}

export function readCheckpoint(database: Database, slot: string): Checkpoint | undefined {
  const body = database.get('SELECT body FROM checkpoint WHERE slot = ?', slot)?.['body']
  return typeof body === 'string' ? (JSON.parse(body) as Checkpoint) : undefined
}
