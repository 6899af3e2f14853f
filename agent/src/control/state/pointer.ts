import { readdirSync } from 'node:fs'
import { ActiveRelease } from '@godwit/protocol/messages/report'
import { defineDocument } from '@godwit/protocol/schema'
import Type, { type Static } from 'typebox'
import { readIfThere, writeDurably } from '../files.ts'
import type { Paths } from '../paths.ts'

/**
 * The two releases of a slot in a small file of its own beside the database, so that a device whose database is gone
 * still knows what to serve. Written before the database in every swap; when the two disagree, this one is right.
 */
const Pointer = Type.Object({
  format: Type.Literal('godwit-pointer/1'),
  active: Type.Optional(ActiveRelease),
  lastKnownGood: Type.Optional(ActiveRelease),
})
type Pointer = Static<typeof Pointer>
const pointer = defineDocument('pointer', Pointer)

export type Releases = Omit<Pointer, 'format'>

export function writePointer(paths: Paths, slot: string, releases: Releases): void {
  const text = `${JSON.stringify({ format: 'godwit-pointer/1', ...releases })}\n`
  // Rewriting the same would wear flash for nothing, and would need a disk that can be written.
  if (readIfThere(paths.pointer(slot))?.toString() === text) return
  writeDurably(paths.pointer(slot), text)
}

/** Undefined when it is absent or damaged. */
export function readPointer(paths: Paths, slot: string): Releases | undefined {
  try {
    const bytes = readIfThere(paths.pointer(slot))
    const read = pointer.check(JSON.parse(bytes?.toString() ?? 'null'))
    if (!read.ok) return undefined
    const { active, lastKnownGood } = read.value
    return { ...(active && { active }), ...(lastKnownGood && { lastKnownGood }) }
  } catch {
    return undefined
  }
}

export function slotsWithPointer(paths: Paths): string[] {
  try {
    return readdirSync(paths.slots)
      .filter((name) => name.endsWith('.json'))
      .map((name) => name.slice(0, -'.json'.length))
  } catch {
    return []
  }
}
