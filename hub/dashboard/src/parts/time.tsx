import { useSyncExternalStore } from 'react'
import type { Maybe, Time } from '../api.ts'
import { ago, clock, msOf, unknown, utc } from '../view/format.ts'

const tickMs = 5_000
let now = Date.now()
const listeners = new Set<() => void>()
let timer: number | undefined

/** One clock for all: a hundred rows share a tick. */
function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  now = Date.now()
  timer ??= window.setInterval(() => {
    now = Date.now()
    for (const tell of listeners) tell()
  }, tickMs)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** How long ago, with both the local and the UTC time at hand. */
export function Ago({ at }: { at: Maybe<Time> }) {
  const present = useSyncExternalStore(subscribe, () => now)
  return <Stamp at={at} text={ago(at, present)} />
}

/** Local time. */
export function At({ at }: { at: Maybe<Time> }) {
  return <Stamp at={at} text={clock(at)} />
}

function Stamp({ at, text }: { at: Maybe<Time>; text: string }) {
  const ms = msOf(at)
  if (ms === undefined) return <span className="muted">{unknown}</span>
  const minutes = -new Date(ms).getTimezoneOffset()
  const offset = `${minutes < 0 ? '−' : '+'}${Math.abs(minutes / 60)} h`
  return (
    <time dateTime={utc(at)} title={`${clock(at)} local (UTC ${offset})\n${utc(at)} UTC`}>
      {text}
    </time>
  )
}
