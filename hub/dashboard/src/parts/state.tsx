import type { ReactNode } from 'react'
import { type Sign, signOf, type Tone } from '../view/words.ts'
import { Icon } from './icon.tsx'

/** A state: its icon, its colour and its word, always together. */
export function State({
  of,
  sign,
  children,
}: {
  of?: string | null | undefined
  sign?: Sign
  children?: ReactNode
}) {
  const { tone, icon, word } = sign ?? signOf(of)
  return (
    <span className={`state tone-${tone}`}>
      <Icon name={icon} />
      <span>{children ?? word}</span>
    </span>
  )
}

const iconOf = { ok: 'ok', busy: 'busy', warn: 'warn', bad: 'bad', waiting: 'dot' } as const

/** The line that a page begins with: what it comes to, in one sentence. */
export function Verdict({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <p className={`verdict tone-${tone}`}>
      <Icon name={iconOf[tone]} />
      <span>{children}</span>
    </p>
  )
}
