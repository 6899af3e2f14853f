export type ByteRange = { offset: number; length: number }

/**
 * One range of a Range header (RFC 9110 §14). Undefined: there is none that we understand, and the standard says to send
 * everything then. `unsatisfiable`: it lies outside.
 */
export function rangeOf(
  header: string | undefined,
  sizeBytes: number,
): ByteRange | 'unsatisfiable' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  if (from === '') {
    const length = Math.min(Number(to), sizeBytes)
    return length === 0 ? 'unsatisfiable' : { offset: sizeBytes - length, length }
  }
  const offset = Number(from)
  if (to !== '' && Number(to) < offset) return undefined
  if (offset >= sizeBytes) return 'unsatisfiable'
  const last = to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1)
  return { offset, length: last - offset + 1 }
}
