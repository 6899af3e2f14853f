import type { Clock } from './clock.ts'
import { Listeners } from './listeners.ts'
import type { Db } from './store/database.ts'
import { feedAfter, insertFeed, lastFeedId, oldestFeedId, pruneFeed } from './store/feed-store.ts'

export const feedTypes = [
  'device.state',
  'device.report',
  'device.window',
  'rollout.state',
  'drift.verdict',
  'telemetry.event',
  'audit.entry',
] as const
export type FeedType = (typeof feedTypes)[number]

/** `topic` says whom it is about: `device:ID`, `rollout:ID`, `fleet`. */
export type FeedEntry = { topic: string; type: FeedType; data: Record<string, unknown> }
export type FeedRow = FeedEntry & { id: number; at: number }

/**
 * What live views show, kept in the database so that a browser that reconnects misses nothing.
 * Append inside the transaction that the news is about; listeners read it from the table once that has committed.
 */
export type Feed = {
  append(db: Db, entry: FeedEntry): Promise<void>
  /** Called after an append, perhaps before it has committed: read with `after`, which waits for that. */
  onAppend(listener: () => void): () => void
  after(id: number, limit: number): Promise<FeedRow[]>
  newestId(): Promise<number>
  /** Undefined when the feed is empty. Whoever has seen less than this has missed something. */
  oldestId(): Promise<number | undefined>
  prune(before: number): Promise<number>
}

export function createFeed(db: Db, clock: Clock, listenerFailed: (error: unknown) => void): Feed {
  const listeners = new Listeners<[]>(listenerFailed)
  return {
    async append(on, entry) {
      await insertFeed(on, { ...entry, at: clock() })
      listeners.tell()
    },
    onAppend: (listener) => listeners.add(listener),
    after: (id, limit) => feedAfter(db, id, limit),
    newestId: () => lastFeedId(db),
    oldestId: () => oldestFeedId(db),
    prune: (before) => pruneFeed(db, before),
  }
}
