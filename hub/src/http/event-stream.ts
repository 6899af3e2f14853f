import { Readable } from 'node:stream'
import type { Feed, FeedRow } from '../feed.ts'

/** A fleet talks more often than a person can look: news is gathered for this long, then sent in one piece. */
const gatherMs = 250
const heartbeatMs = 15_000
const rowsPerRead = 500

export type EventStreamOptions = {
  /** The last id that the client has seen; undefined: it begins now. */
  lastEventId: number | undefined
  isWanted: (row: FeedRow) => boolean
  /** Asked before each piece of news and at each heartbeat: a session may end while its stream is open. */
  isWelcome: () => Promise<boolean>
}

/**
 * Server-sent events out of the feed table, as text. A client that comes back is told what it missed; when that is no
 * longer kept it gets `reset` and must ask for everything again.
 */
export function eventStream(feed: Feed, { lastEventId, isWanted, isWelcome }: EventStreamOptions): Readable {
  let seen = lastEventId ?? 0
  let timer: NodeJS.Timeout | undefined
  let isReading = false
  let hasMore = false
  let madeRoom = () => {}
  let isBegun = false

  const stream = new Readable({ read: () => madeRoom() })
  const silence = feed.onAppend(wake)
  const heartbeat = setInterval(() => void beat().catch(fail), heartbeatMs)
  stream.once('close', () => {
    silence()
    clearInterval(heartbeat)
    clearTimeout(timer)
    madeRoom()
  })
  stream.push('retry: 3000\n\n')
  void begin().then(drain, fail)
  return stream

  async function begin(): Promise<void> {
    const newest = await feed.newestId()
    const oldest = (await feed.oldestId()) ?? newest + 1
    // An id beyond the newest comes from another life of this hub's database.
    const hasMissed = lastEventId !== undefined && (lastEventId + 1 < oldest || lastEventId > newest)
    if (lastEventId === undefined || hasMissed) seen = newest
    if (hasMissed) stream.push(`id: ${seen}\nevent: reset\ndata: {}\n\n`)
    isBegun = true
  }

  async function beat(): Promise<void> {
    if (await endsHere()) return
    if (!stream.destroyed) stream.push(': still here\n\n')
  }

  async function endsHere(): Promise<boolean> {
    if (await isWelcome()) return false
    if (!stream.destroyed) stream.push(null)
    return true
  }

  function wake(): void {
    if (timer !== undefined || !isBegun || stream.destroyed) return
    timer = setTimeout(() => {
      timer = undefined
      drain().catch(fail)
    }, gatherMs)
  }

  /** As fast as the client reads: one that stands still must not collect the feed in our memory. */
  async function drain(): Promise<void> {
    hasMore = true
    if (isReading) return
    isReading = true
    try {
      while (hasMore) {
        hasMore = false
        const rows = await feed.after(seen, rowsPerRead)
        if (stream.destroyed || (rows.length > 0 && (await endsHere()))) return
        const last = rows.at(-1)
        if (!last) continue
        seen = last.id
        hasMore ||= rows.length === rowsPerRead
        const text = newestWindows(rows.filter(isWanted)).map(textOf).join('')
        if (text !== '' && !stream.push(text)) await room()
      }
    } finally {
      isReading = false
    }
  }

  function room(): Promise<void> {
    return new Promise((resolve) => {
      madeRoom = resolve
      if (stream.destroyed) resolve()
    })
  }

  function fail(error: Error): void {
    stream.destroy(error)
  }
}

/** Of many windows of one device only the newest says where it stands; everything else is sent one by one. */
function newestWindows(rows: readonly FeedRow[]): FeedRow[] {
  const newest = new Map(
    rows.filter(({ type }) => type === 'device.window').map((row) => [row.topic, row.id]),
  )
  return rows.filter(({ type, topic, id }) => type !== 'device.window' || newest.get(topic) === id)
}

/** JSON text holds no line feed, so one `data` line is enough. */
function textOf({ id, type, data }: FeedRow): string {
  return `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`
}
