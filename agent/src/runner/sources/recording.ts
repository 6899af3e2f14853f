import { Fault } from '@godwit/protocol/fault'

/** A recording in memory: one column of numbers per field, NaN where a row has none. */
export type Recording = { length: number; columns: Map<string, Float64Array> }

/**
 * Reads a CSV file with a header line, or one JSON object a line, told apart by the first character. Only the
 * columns asked for are kept.
 *
 * @param name names the recording in errors
 */
export function readRecording(text: string, fields: readonly string[], name: string): Recording {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop()
  if (lines.length === 0) throw new Fault('recording-empty', `${name} has no lines`)
  return lines[0]!.trimStart().startsWith('{') ? fromJsonl(lines, fields, name) : fromCsv(lines, fields, name)
}

function fromCsv([header, ...rows]: string[], fields: readonly string[], name: string): Recording {
  const names = cellsOf(header!)
  const places = fields.map((field) => names.indexOf(field))
  const absent = fields.filter((_, f) => places[f] === -1)
  if (absent.length > 0) {
    throw new Fault(
      'recording-lacks-field',
      `${name} has no column ${absent.join(', ')}; it has ${names.join(', ')}`,
    )
  }
  const columns = emptyColumns(fields, rows.length)
  rows.forEach((row, i) => {
    const cells = cellsOf(row)
    fields.forEach((field, f) => {
      columns.get(field)![i] = numberOf(cells[places[f]!])
    })
  })
  return { length: rows.length, columns }
}

function fromJsonl(lines: string[], fields: readonly string[], name: string): Recording {
  const columns = emptyColumns(fields, lines.length)
  lines.forEach((line, i) => {
    const row = parse(line, `${name}:${i + 1}`)
    for (const field of fields) {
      const value = Object.hasOwn(row, field) ? row[field] : undefined
      columns.get(field)![i] = typeof value === 'number' ? value : Number.NaN
    }
  })
  return { length: lines.length, columns }
}

function parse(line: string, place: string): Record<string, unknown> {
  let cause: unknown
  try {
    const row: unknown = JSON.parse(line)
    if (typeof row === 'object' && row !== null) return row as Record<string, unknown>
  } catch (error) {
    cause = error
  }
  throw new Fault('recording-malformed', `${place} is no JSON object`, { cause })
}

function emptyColumns(fields: readonly string[], length: number): Map<string, Float64Array> {
  return new Map(fields.map((field) => [field, new Float64Array(length).fill(Number.NaN)]))
}

/** An empty cell is a missing value; `Number('')` would make it a zero. */
export function numberOf(cell: string | undefined): number {
  return cell === undefined || cell === '' ? Number.NaN : Number(cell)
}

/** Commas separate; a cell in double quotes may hold commas and doubled quotes, but no line break. */
export function cellsOf(line: string): string[] {
  if (!line.includes('"')) return line.split(',').map((cell) => cell.trim())
  const cells = line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(?=,|$)/g)
  return Array.from(cells, ([, quoted, plain]) => (quoted?.replaceAll('""', '"') ?? plain ?? '').trim())
}
