import { readBytes } from './documents.ts'
import { CliError } from './exit.ts'

export type RegisteredKey = { deviceId: string; publicKey: string; labels?: Record<string, string> }

const hexKey = /^[0-9a-f]{64}$/

/** A public key as it stands on the command line, or in a file: bare, or as `godwit-agent identity` prints it. */
export function keyIn(text: string): string {
  if (hexKey.test(text)) return text
  const held = textOf(text).trim()
  const found = hexKey.test(held) ? held : parsed(held)?.publicKey
  if (typeof found === 'string' && hexKey.test(found)) return found
  throw malformed(text, 'expected 64 hexadecimal digits, or JSON with such a `publicKey`')
}

/** What a factory hands over: JSON lines, or CSV with a line of names first. */
export function keysIn(file: string): RegisteredKey[] {
  const lines = textOf(file)
    .split(/\r?\n/)
    .map((line, i) => ({ line: line.trim(), where: `${file}, line ${i + 1}` }))
    .filter(({ line }) => line !== '')
  const [head, ...rest] = lines
  if (!head) throw malformed(file, 'expected a key a line, found none')
  return head.line.startsWith('{') ? lines.map(keyOfJson) : rest.map(csvReader(head))
}

type Line = { line: string; where: string }

function keyOfJson({ line, where }: Line): RegisteredKey {
  const found = parsed(line)
  if (!found?.deviceId || !found.publicKey) throw malformed(where, 'expected {"deviceId":…,"publicKey":…}')
  const { deviceId, publicKey, labels } = found
  return { deviceId, publicKey, ...(labels && { labels }) }
}

/** Columns beyond the two are labels; an empty one is none. */
function csvReader(head: Line): (row: Line) => RegisteredKey {
  const names = cells(head)
  if (!names.includes('deviceId') || !names.includes('publicKey'))
    throw malformed(head.where, `expected the columns deviceId and publicKey, found ${names.join(', ')}`)
  return (row) => {
    const values = cells(row)
    if (values.length !== names.length)
      throw malformed(row.where, `expected ${names.length} columns, found ${values.length}`)
    const {
      deviceId = '',
      publicKey = '',
      ...labels
    } = Object.fromEntries(
      names.map((name, i): [string, string] => [name, values[i]!]).filter(([, value]) => value !== ''),
    )
    return { deviceId, publicKey, labels }
  }
}

/** Names, keys and labels need no quotes; a file that has some is not taken for what it is not. */
function cells({ line, where }: Line): string[] {
  if (line.includes('"')) throw malformed(where, 'quotes are not read here; use JSON lines')
  return line.split(',').map((cell) => cell.trim())
}

function textOf(path: string): string {
  return new TextDecoder().decode(readBytes(path)).replace(/^\uFEFF/, '')
}

function parsed(text: string): Partial<RegisteredKey> | undefined {
  try {
    return JSON.parse(text) as Partial<RegisteredKey>
  } catch {
    return undefined
  }
}

function malformed(where: string, expectation: string): CliError {
  return new CliError('failure', 'file_malformed', `${where}: ${expectation}`)
}
