import type { QueryClient, QueryKey } from '@tanstack/react-query'
import { ask } from './queries.ts'

/** `waiting`: nothing heard yet. `stale` after `staleAfterMs` without a connection. */
export type Light = { state: 'waiting' | 'live' | 'reconnecting' | 'stale'; since: number }

/** News within this time lead to one round of questions: a fleet that talks a lot must not make a browser ask a lot. */
const coalesceMs = 500
const staleAfterMs = 15_000
const reopenMs = 3_000

/** Which answers a piece of news makes old. The key's beginning is enough. */
const touches: Record<string, (subject: Subject) => QueryKey[]> = {
  'device.state': ({ device }) => [['overview'], ['devices'], ['device', ...device]],
  'device.report': ({ device }) => [
    ['overview'],
    ['devices'],
    ['device', ...device],
    ['rollouts'],
    ['rollout'],
    ['model'],
  ],
  'device.window': ({ device }) => [
    ['overview'],
    ['windows', ...device],
    ['completeness', ...device],
    ['device', ...device],
    ['energy'],
  ],
  'rollout.state': ({ rollout }) => [['overview'], ['rollouts'], ['rollout', ...rollout], ['devices']],
  'drift.verdict': ({ device }) => [['overview'], ['drift'], ['device', ...device]],
  'telemetry.event': ({ device }) => [['overview'], ['events', ''], ['events', ...device]],
  'audit.entry': () => [['models'], ['model'], ['overview']],
}
type Subject = { device: string[]; rollout: string[] }

/** One stream for the whole page (a browser grants few connections per host); asks again, never patches by guess. */
export class Live {
  readonly #client: QueryClient
  readonly #listeners = new Set<() => void>()
  readonly #pending = new Map<string, QueryKey>()
  #light: Light = { state: 'waiting', since: Date.now() }
  #source: EventSource | undefined
  #flushTimer: number | undefined
  #staleTimer: number | undefined
  #reopenTimer: number | undefined
  #missedSome = false

  constructor(client: QueryClient) {
    this.#client = client
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  readonly light = (): Light => this.#light

  start(): () => void {
    const visibility = () => (document.hidden ? this.#close() : this.#open())
    document.addEventListener('visibilitychange', visibility)
    visibility()
    return () => {
      document.removeEventListener('visibilitychange', visibility)
      this.#close()
    }
  }

  #open(): void {
    if (this.#source) return
    const source = new EventSource('/api/v1/events')
    this.#source = source
    source.onopen = () => {
      clearTimeout(this.#staleTimer)
      this.#staleTimer = undefined
      if (this.#missedSome) void this.#client.invalidateQueries()
      this.#missedSome = false
      this.#turn('live')
    }
    source.onerror = () => this.#lost(source)
    for (const type of Object.keys(touches))
      source.addEventListener(type, (event) => this.#heard(type, event.data))
    source.addEventListener('reset', () => void this.#client.invalidateQueries())
  }

  #close(): void {
    this.#source?.close()
    this.#source = undefined
    clearTimeout(this.#staleTimer)
    clearTimeout(this.#reopenTimer)
    this.#staleTimer = undefined
    // Whatever happens from now on is not seen, so the next opening asks for everything again.
    this.#missedSome = true
  }

  #lost(source: EventSource): void {
    if (this.#light.state !== 'stale') this.#turn('reconnecting')
    this.#missedSome = true
    this.#staleTimer ??= window.setTimeout(() => this.#turn('stale'), staleAfterMs)
    if (source.readyState !== EventSource.CLOSED) return
    // The browser gives up for good when the hub answers with an error, such as after the session's end.
    this.#source = undefined
    void this.#client.invalidateQueries({ queryKey: ask.session.queryKey })
    this.#reopenTimer = window.setTimeout(() => this.#open(), reopenMs)
  }

  #heard(type: string, text: string): void {
    const subject = subjectOf(type, text)
    for (const key of touches[type]?.(subject) ?? []) this.#pending.set(JSON.stringify(key), key)
    this.#flushTimer ??= window.setTimeout(() => this.#flush(), coalesceMs)
  }

  #flush(): void {
    this.#flushTimer = undefined
    const keys = [...this.#pending.values()]
    this.#pending.clear()
    for (const queryKey of keys) {
      // A question under way may have been answered before the news, and cancelling it each time would starve a slow
      // hub: it finishes, and is asked once more.
      if (this.#client.isFetching({ queryKey }) > 0) this.#pending.set(JSON.stringify(queryKey), queryKey)
      else void this.#client.invalidateQueries({ queryKey })
    }
    if (this.#pending.size > 0) this.#flushTimer = window.setTimeout(() => this.#flush(), coalesceMs)
  }

  #turn(state: Light['state']): void {
    const since = state === 'stale' ? this.#light.since : Date.now()
    this.#light = { state, since }
    for (const listener of this.#listeners) listener()
  }
}

/** Whom the news is about; empty when it does not say, which then means everybody. */
function subjectOf(type: string, text: string): Subject {
  const said = parse(text)
  const topic = typeof said['topic'] === 'string' ? said['topic'] : ''
  const [noun] = type.split('.')
  const named = (wanted: string): string[] => {
    const own = noun === wanted ? said['id'] : undefined
    const value =
      said[`${wanted}Id`] ?? (topic.startsWith(`${wanted}:`) ? topic.slice(wanted.length + 1) : own)
    return typeof value === 'string' && value !== '' ? [value] : []
  }
  return { device: named('device'), rollout: named('rollout') }
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
