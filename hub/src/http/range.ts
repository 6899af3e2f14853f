import type { ByteRange } from '../blobs/blobs.ts'

/**
 * Reads a Range header (RFC 9110 §14). `whole`: there is none, or none that we understand, and the standard says to
 * send everything then; several ranges at once are among those. `unsatisfiable`: it lies outside.
 */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return 'whole'
  const last = sizeBytes - 1
  const first = match[1] === '' ? Math.max(0, sizeBytes - Number(match[2])) : Number(match[1])
  const end = match[1] === '' || match[2] === '' ? last : Math.min(Number(match[2]), last)
  if (match[1] !== '' && match[2] !== '' && Number(match[2]) < first) return 'whole'
  return first > last || end < first ? 'unsatisfiable' : { offset: first, length: end - first + 1 }
}
