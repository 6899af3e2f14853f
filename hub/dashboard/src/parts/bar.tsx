import type { Tone } from '../view/words.ts'

/** A share 0..1 of a whole. The number stands beside it; the bar is for the eye alone. */
export function Bar({
  share,
  tone = 'busy',
  hatched = false,
}: {
  share: number
  tone?: Tone
  hatched?: boolean
}) {
  return (
    <span className={`bar tone-${tone}${hatched ? ' hatched' : ''}`} aria-hidden="true">
      <span style={{ width: `${Math.max(0, Math.min(1, share)) * 100}%` }} />
    </span>
  )
}

/** Several shares in a row, in the order of the page's words: done, at work, held, failed, to come. */
export function Segments({ of }: { of: readonly { tone: Tone; n: number }[] }) {
  return (
    <span className="segments" aria-hidden="true">
      {of
        .filter(({ n }) => n > 0)
        .map(({ tone, n }) => (
          <span key={tone} className={`tone-${tone}`} style={{ flexGrow: n }} />
        ))}
    </span>
  )
}
