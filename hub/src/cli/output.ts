import Table from 'cli-table3'

/** Data goes to standard output and nothing else does, so that `| jq` always works. */
export class Output {
  readonly json: boolean
  readonly #write: (text: string) => void
  readonly #note: (text: string) => void

  constructor(options: { json: boolean; stdout: (text: string) => void; stderr: (text: string) => void }) {
    this.json = options.json
    this.#write = options.stdout
    this.#note = options.stderr
  }

  /** The same value that the API gives, or the words for a person. */
  print(value: unknown, words: () => string): void {
    this.#write(`${this.json ? JSON.stringify(value, undefined, 2) : words()}\n`)
  }

  /** @param empty what a person is told where there is nothing */
  list<T>(items: readonly T[], head: string[], rowOf: (item: T) => Cell[], empty: string): void {
    this.print(items, () => table(head, items.map(rowOf), empty))
  }

  /** For a person only; never on standard output. */
  note(text: string): void {
    this.#note(`${text}\n`)
  }
}

type Cell = string | number | undefined | null

export function table(head: string[], rows: Cell[][], empty: string): string {
  if (rows.length === 0) return empty
  const drawn = new Table({
    head,
    chars: {
      ...{
        top: '',
        'top-mid': '',
        'top-left': '',
        'top-right': '',
        bottom: '',
        'bottom-mid': '',
        'bottom-left': '',
      },
      ...{
        'bottom-right': '',
        left: '',
        'left-mid': '',
        mid: '',
        'mid-mid': '',
        right: '',
        'right-mid': '',
        middle: '  ',
      },
    },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  })
  for (const row of rows) drawn.push(row.map((cell) => cleaned(String(cell ?? '–'))))
  return drawn.toString()
}

/** Names come from devices and publishers: a control character in one must not steer the terminal. */
export function cleaned(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '�')
}

export function ago(at: number | null | undefined, now: number): string {
  if (!at) return 'never'
  const seconds = Math.max(0, Math.round((now - at) / 1000))
  if (seconds < 90) return `${seconds} s ago`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} d ago`
}
