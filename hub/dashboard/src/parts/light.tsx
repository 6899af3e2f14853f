import { createContext, use, useSyncExternalStore } from 'react'
import type { Light, Live } from '../live.ts'
import { clock } from '../view/format.ts'

export const LiveContext = createContext<Live | null>(null)

const nothing: Light = { state: 'waiting', since: 0 }
const words: Record<Light['state'], (since: number) => string> = {
  waiting: () => 'connecting',
  live: () => 'live',
  reconnecting: () => 'reconnecting',
  stale: (since) => `stale since ${clock(since)}`,
}

/** Says whether what is on the page is what is happening. */
export function ConnectionLight() {
  const live = use(LiveContext)
  const light = useSyncExternalStore(live?.subscribe ?? (() => () => {}), live?.light ?? (() => nothing))
  return (
    <p className={`light light-${light.state}`} role="status">
      <span className="light-dot" aria-hidden="true" />
      {words[light.state](light.since)}
    </p>
  )
}
