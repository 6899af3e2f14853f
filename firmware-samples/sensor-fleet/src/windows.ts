import { fields, type Reading } from './motes.ts'

/**
 * The model's input for the reading at `end`: the last `size` readings, oldest first, as float32 in the order
 * [reading][field]. Float32 here, because the device rounds at this very place, and so training sees what serving sees.
 */
export function windowAt(readings: readonly Reading[], end: number, size: number): Float32Array {
  const window = new Float32Array(size * fields.length)
  let at = 0
  for (let i = end - size + 1; i <= end; i++) {
    for (const field of fields) window[at++] = readings[i]![field]
  }
  return window
}

/** Every window of a recording, in time order; the first one ends at reading `size - 1`. */
export function windowsOf(readings: readonly Reading[], size: number): Float32Array[] {
  const windows: Float32Array[] = []
  for (let end = size - 1; end < readings.length; end++) windows.push(windowAt(readings, end, size))
  return windows
}
