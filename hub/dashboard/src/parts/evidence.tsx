import type { Maybe } from '../api.ts'
import { evidenceText, shareOf } from '../view/drift.ts'
import { number } from '../view/format.ts'
import { signOf } from '../view/words.ts'
import { Bar } from './bar.tsx'
import { State } from './state.tsx'

/** The evidence for drift on its way to the threshold. Little evidence from little data is hatched: it is not health. */
export function Evidence(props: { state: string; evidence: Maybe<number>; threshold: Maybe<number> }) {
  const { state, evidence, threshold } = props
  const sign = signOf(state)
  const tone = sign.tone === 'waiting' ? 'waiting' : sign.tone
  return (
    <span className="evidence">
      <State sign={sign} />
      <Bar share={shareOf(evidence, threshold) ?? 0} tone={tone} hatched={sign.word === 'not enough data'} />
      <span className="evidence-number">
        {evidenceText(evidence)} of {number(threshold)}
      </span>
    </span>
  )
}
