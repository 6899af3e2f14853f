/**
 * A model card comes from a publisher, so nothing in it becomes markup of ours: the text is cut into blocks, and React
 * renders them as text. Links stay text too; a page that opens a stranger's address on a click is no card reader.
 */
export type Block =
  | { kind: 'heading'; level: number; text: string }
  | { kind: 'paragraph'; text: string }
  | { kind: 'list'; items: string[] }
  | { kind: 'table'; head: string[]; rows: string[][] }
  | { kind: 'verbatim'; text: string }

export function blocksOf(markdown: string): Block[] {
  const lines = markdown.slice(0, 200_000).replace(/\r\n?/g, '\n').split('\n')
  const blocks: Block[] = []
  for (let at = 0; at < lines.length; ) {
    const [block, next] = blockAt(lines, at)
    if (block) blocks.push(block)
    at = next
  }
  return blocks
}

function blockAt(lines: readonly string[], at: number): [Block | undefined, next: number] {
  const line = lines[at]!
  if (line.trim() === '') return [undefined, at + 1]
  const fence = /^(```|~~~)/.exec(line)?.[1] ?? (at === 0 && line === '---' ? '---' : undefined)
  if (fence) {
    const end = lines.findIndex((other, i) => i > at && other.startsWith(fence))
    const stop = end === -1 ? lines.length : end
    return [{ kind: 'verbatim', text: lines.slice(at + 1, stop).join('\n') }, stop + 1]
  }
  const heading = /^(#{1,6})\s+(.*)$/.exec(line)
  if (heading) return [{ kind: 'heading', level: heading[1]!.length, text: heading[2]! }, at + 1]
  if (isRow(line) && /^\s*\|[\s|:-]+\|\s*$/.test(lines[at + 1] ?? '')) {
    const next = end(lines, at + 2, isRow)
    return [{ kind: 'table', head: cellsOf(line), rows: lines.slice(at + 2, next).map(cellsOf) }, next]
  }
  if (item.test(line)) {
    const next = end(lines, at, (other) => item.test(other) || /^\s+\S/.test(other))
    return [{ kind: 'list', items: itemsOf(lines.slice(at, next)) }, next]
  }
  const next = Math.max(
    at + 1,
    end(lines, at, (other) => other.trim() !== '' && !/^#{1,6}\s|^```|^~~~|^\s*[-*+]\s/.test(other)),
  )
  return [{ kind: 'paragraph', text: lines.slice(at, next).join(' ') }, next]
}

const item = /^\s*(?:[-*+]|\d+[.)])\s+/
const isRow = (line: string) => line.trim().startsWith('|')

function end(lines: readonly string[], from: number, belongs: (line: string) => boolean): number {
  const found = lines.findIndex((line, i) => i >= from && !belongs(line))
  return found === -1 ? lines.length : found
}

function cellsOf(line: string): string[] {
  return line
    .trim()
    .replace(/^\||\|$/g, '')
    .split('|')
    .map((cell) => cell.trim())
}

function itemsOf(lines: readonly string[]): string[] {
  const items: string[] = []
  for (const line of lines) {
    if (item.test(line)) items.push(line.replace(item, ''))
    else items.push(`${items.pop() ?? ''} ${line.trim()}`)
  }
  return items
}

export type Span = { kind: 'text' | 'strong' | 'code'; text: string }

export function spansOf(text: string): Span[] {
  return text
    .split(/(\*\*[^*]+\*\*|`[^`]+`)/)
    .filter((part) => part !== '')
    .map((part): Span => {
      if (part.startsWith('**') && part.endsWith('**') && part.length > 4)
        return { kind: 'strong', text: part.slice(2, -2) }
      if (part.startsWith('`') && part.endsWith('`') && part.length > 2)
        return { kind: 'code', text: part.slice(1, -1) }
      return { kind: 'text', text: part }
    })
}
