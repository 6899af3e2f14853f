import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, type Rollout, type RolloutAction } from '../../api.ts'
import { type Question, ReasonDialog } from '../../parts/reason-dialog.tsx'
import { ask } from '../../queries.ts'
import { plural } from '../../view/format.ts'
import { countsOf, mayOperate, totalOf, withTone } from '../../view/rollout.ts'

type Deed = {
  word: string
  grave: boolean
  touches: (rollout: Rollout) => number
  says: (devices: string) => string
}

const deeds: Record<RolloutAction, Deed> = {
  start: { word: 'Start', grave: false, touches: waitingOf, says: () => 'The first wave opens at once.' },
  resume: {
    word: 'Resume',
    grave: false,
    touches: waitingOf,
    says: () => 'It goes on where it stopped; the gates judge again.',
  },
  pause: {
    word: 'Pause',
    grave: false,
    touches: () => 0,
    says: () => 'No further device gets its turn. Devices at work finish what they began.',
  },
  retry: {
    word: 'Retry failed',
    grave: false,
    touches: failedOf,
    says: (devices) => `${devices} may try once more.`,
  },
  abort: {
    word: 'Abort',
    grave: true,
    touches: touchedOf,
    says: (devices) =>
      `It ends here and cannot be resumed. Of the ${devices} it has reached, those that run the new release keep it; nobody else gets it.`,
  },
  rollback: {
    word: 'Roll back',
    grave: true,
    touches: touchedOf,
    says: (devices) => `${devices} that it has reached: back to the release from before.`,
  },
}

function touchedOf({ waves }: Rollout): number {
  const counts = countsOf(waves)
  return totalOf(counts) - withTone(counts, 'waiting')
}
function waitingOf({ waves }: Rollout): number {
  return withTone(countsOf(waves), 'waiting')
}
function failedOf({ waves }: Rollout): number {
  return withTone(countsOf(waves), 'bad')
}

/** Of the fleet: above it a person retypes the name before something grave. */
const graveShare = 0.1

/** The hub's state machine says what may be done; this only offers it. */
export function Actions({ rollout }: { rollout: Rollout }) {
  const client = useQueryClient()
  const session = useQuery(ask.session)
  const overview = useQuery(ask.overview)
  const [chosen, setChosen] = useState<RolloutAction>()
  const allowed = (Object.keys(deeds) as RolloutAction[]).filter((action) =>
    rollout.allowedActions?.includes(action),
  )
  if (allowed.length === 0) return null
  if (session.data && !mayOperate(session.data)) {
    // An approver who does not operate has buttons of their own below.
    if ((rollout.approval?.allowedDeeds ?? []).length > 0) return null
    return <p className="muted">Acting on a rollout takes the operator role; this session may look.</p>
  }
  return (
    <section className="buttons actions" aria-label="Actions">
      {allowed.map((action) => (
        <button
          key={action}
          type="button"
          className={
            deeds[action].grave ? 'grave' : action === 'resume' || action === 'start' ? 'primary' : undefined
          }
          onClick={() => setChosen(action)}
        >
          {deeds[action].word}…
        </button>
      ))}
      {chosen && (
        <ReasonDialog
          key={chosen}
          question={questionFor(chosen, rollout, overview.data?.devices.total)}
          onClose={() => setChosen(undefined)}
          onAnswer={async (reason) => {
            await api.act(rollout.id, chosen, reason)
            await client.invalidateQueries({ queryKey: ['rollout', rollout.id] })
          }}
        />
      )}
    </section>
  )
}

function questionFor(action: RolloutAction, rollout: Rollout, fleet: number | undefined): Question {
  const { word, grave, touches, says } = deeds[action]
  const touched = touches(rollout)
  const name = `${rollout.model}@${rollout.version}`
  // A fleet of unknown size is treated as a small one: asking once too often costs less.
  const large = grave && touched > graveShare * (fleet ?? 0)
  return {
    title: `${word} ${name}?`,
    consequence: says(plural(touched, 'device')),
    confirm: word,
    grave,
    retype: large ? name : undefined,
  }
}
