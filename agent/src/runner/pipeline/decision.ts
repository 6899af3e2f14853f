import type { SessionTensor } from '../session/session.ts'

/** The largest element of the deciding output; NaN if any element is none, for then nothing was decided. */
export function decisiveValue({ data }: SessionTensor): number {
  if (data.length === 1) return Number(data[0])
  let largest = data.length === 0 ? Number.NaN : Number.NEGATIVE_INFINITY
  for (let i = 0; i < data.length; i++) largest = Math.max(largest, Number(data[i]))
  return largest
}
