import Type from 'typebox'
import { Refusal } from './problem.ts'

/** Query of a list: keyset cursors only, because an offset skips or repeats rows while others are added. */
export const PageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
  cursor: Type.Optional(Type.String({ maxLength: 512 })),
}

export type Page<T> = { items: T[]; nextCursor?: string }

/** @param rows one more than `limit` when there is a next page */
export function pageOf<T>(rows: readonly T[], limit: number, keyOf: (row: T) => string): Page<T> {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return rows.length > limit && last !== undefined ? { items, nextCursor: toCursor(keyOf(last)) } : { items }
}

export function toCursor(key: string): string {
  return Buffer.from(key, 'utf8').toString('base64url')
}

export function fromCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const key = Buffer.from(cursor, 'base64url').toString('utf8')
  if (toCursor(key) === cursor) return key
  throw notOurs()
}

/** Of a list whose keys are row numbers. */
export function idFromCursor(cursor: string | undefined): number | undefined {
  const key = fromCursor(cursor)
  if (key === undefined) return undefined
  if (/^\d{1,15}$/.test(key)) return Number(key)
  throw notOurs()
}

export function notOurs(): Refusal {
  return new Refusal('validation', 'the cursor is not one that this list gave', {
    errors: [{ parameter: 'cursor', detail: 'must be the nextCursor of an earlier answer' }],
  })
}
