import { useQuery } from '@tanstack/react-query'
import { Command } from '../../parts/copy.tsx'
import { State } from '../../parts/state.tsx'
import { ask } from '../../queries.ts'

/** The way to the first rollout, ticked as it is walked. Gone when it has been. */
export function FirstSteps({ devices }: { devices: number }) {
  const models = useQuery(ask.models)
  const rollouts = useQuery(ask.rollouts)
  if (!models.data || !rollouts.data) return null
  const steps = [
    {
      done: models.data.items.length > 0,
      text: 'Publish a model',
      command: 'godwit version publish DIRECTORY MODEL@VERSION',
    },
    { done: devices > 0, text: 'Connect a device', command: 'godwit device add NAME' },
    {
      done: rollouts.data.items.length > 0,
      text: 'Start a rollout',
      command: 'godwit rollout create MODEL@VERSION',
    },
  ]
  if (steps.every(({ done }) => done)) return null
  return (
    <ol className="steps" aria-label="First steps">
      {steps.map(({ done, text, command }) => (
        <li key={text} className={done ? 'step-done' : ''}>
          <State
            sign={{
              tone: done ? 'ok' : 'waiting',
              icon: done ? 'ok' : 'pending',
              word: done ? `${text}: done` : text,
            }}
          />
          {!done && <Command text={command} />}
        </li>
      ))}
    </ol>
  )
}
