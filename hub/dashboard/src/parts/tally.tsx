import { type Counts, totalOf, withTone } from '../view/rollout.ts'
import { signOf, type Tone } from '../view/words.ts'
import { Segments } from './bar.tsx'
import { State } from './state.tsx'

const order: readonly Tone[] = ['ok', 'busy', 'warn', 'bad', 'waiting']

/** A rollout's devices as a bar and in words. */
export function TallyBar({ of }: { of: Counts }) {
  if (totalOf(of) === 0) return <span className="muted">no devices</span>
  const states = Object.keys(of).filter((state) => of[state]! > 0)
  const place = (state: string) => order.indexOf(signOf(state).tone)
  return (
    <span className="tally">
      <Segments of={order.map((tone) => ({ tone, n: withTone(of, tone) }))} />
      <span className="tally-words">
        {states
          .sort((a, b) => place(a) - place(b))
          .map((state) => (
            <State key={state} of={state}>
              {of[state]} {signOf(state).word}
            </State>
          ))}
      </span>
    </span>
  )
}
