import { type Block, blocksOf, spansOf } from '../view/markdown.ts'
import { Table } from './table.tsx'

/** A publisher's text. Every character of it arrives as text. */
export function Card({ markdown }: { markdown: string }) {
  return (
    <div className="card-text">
      {blocksOf(markdown).map((block, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks have no name but their place
        <BlockView key={i} block={block} />
      ))}
    </div>
  )
}

function BlockView({ block }: { block: Block }) {
  switch (block.kind) {
    case 'heading':
      return block.level === 1 ? (
        <h3>
          <Spans text={block.text} />
        </h3>
      ) : (
        <h4>
          <Spans text={block.text} />
        </h4>
      )
    case 'paragraph':
      return (
        <p>
          <Spans text={block.text} />
        </p>
      )
    case 'verbatim':
      return <pre>{block.text}</pre>
    case 'list':
      return (
        <ul>
          {block.items.map((text, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: items have no name but their place
            <li key={i}>
              <Spans text={text} />
            </li>
          ))}
        </ul>
      )
    case 'table':
      return (
        <Table
          caption="Table of the card"
          columns={block.head.map((head, i) => ({
            head,
            cell: (row: string[]) => <Spans text={row[i] ?? ''} />,
          }))}
          rows={block.rows}
          keyOf={(_, index) => String(index)}
          empty="Empty table"
        />
      )
  }
}

function Spans({ text }: { text: string }) {
  return spansOf(text).map(({ kind, text: part }, i) => {
    // biome-ignore-start lint/suspicious/noArrayIndexKey: spans have no name but their place
    if (kind === 'strong') return <strong key={i}>{part}</strong>
    if (kind === 'code') return <code key={i}>{part}</code>
    return part
    // biome-ignore-end lint/suspicious/noArrayIndexKey: spans have no name but their place
  })
}
