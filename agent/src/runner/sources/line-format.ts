import { plainMapping, readingOfText, timeOf } from './reading-of.ts'
import { cellsOf, numberOf } from './recording.ts'
import type { Reading } from './source.ts'

/** What a line of a followed file means. */
export type Format = {
  /** Each file begins with a line that says what the columns are. */
  readonly isHeader: boolean
  header(line: string): void
  read(line: string, nowMs: number): Reading
}

export function formatOf(kind: 'jsonl' | 'csv', fields: readonly string[]): Format {
  if (kind === 'csv') return new Csv(fields)
  const mapping = plainMapping(fields)
  return { isHeader: false, header() {}, read: (line, nowMs) => readingOfText(line, mapping, nowMs) }
}

class Csv implements Format {
  readonly isHeader = true
  readonly #fields: readonly string[]
  #names: string[] = []

  constructor(fields: readonly string[]) {
    this.#fields = fields
  }

  header(line: string): void {
    this.#names = cellsOf(line.replace(/^\uFEFF/, ''))
  }

  /** Columns of other names are passed over; one that a field lacks makes every line an error with this reason. */
  read(line: string, nowMs: number): Reading {
    const cells = cellsOf(line)
    const at = this.#timeIn(cells) ?? nowMs
    if (cells.length !== this.#names.length) {
      return { at, values: {}, flaw: `${cells.length} cells, the header has ${this.#names.length}` }
    }
    const absent = this.#fields.filter((field) => !this.#names.includes(field))
    if (absent.length > 0) return { at, values: {}, flaw: `the header has no column ${absent.join(', ')}` }
    const values = Object.fromEntries(
      this.#fields.map((field) => [field, numberOf(cells[this.#names.indexOf(field)])]),
    )
    return { at, values }
  }

  #timeIn(cells: readonly string[]): number | undefined {
    const cell = cells[this.#names.indexOf('at')]
    if (cell === undefined || cell === '') return undefined
    return timeOf(/^\d+$/.test(cell) ? Number(cell) : cell)
  }
}
