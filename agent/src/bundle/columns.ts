import { Fault } from '@godwit/protocol/fault'
import { cellsOf, numberOf } from '../runner/sources/recording.ts'

/** Columns of a recording that hold a number in its first row: CSV under a header line, or a JSON object a line. */
export function numericColumns(text: string, name: string): string[] {
  const [first = '', second = ''] = text.replace(/^\uFEFF/, '').split(/\r?\n/, 2)
  if (!first.trimStart().startsWith('{')) {
    const cells = cellsOf(second)
    return cellsOf(first).filter((_, i) => Number.isFinite(numberOf(cells[i])))
  }
  try {
    const row = JSON.parse(first) as Record<string, unknown>
    return Object.keys(row).filter((key) => typeof row[key] === 'number')
  } catch (cause) {
    throw new Fault('recording-malformed', `${name}:1 is no JSON object`, { cause })
  }
}
