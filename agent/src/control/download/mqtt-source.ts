import type { BlockRefusal, BlockRequest } from '@godwit/protocol/messages/blocks'
import type { BlockSource, Delivery, SourceEnd } from './block-source.ts'
import type { Wanted } from './plan.ts'

/** The link as far as blocks need it. */
export type BlockLink = {
  readonly isUp: boolean
  subscribe(sha256s: readonly string[]): Promise<void>
  unsubscribe(sha256s: readonly string[]): Promise<void>
  request(request: BlockRequest): Promise<void>
  /** Registers a listener; the result takes it away again. */
  onBlock(listen: (sha256: string, bytes: Uint8Array) => void): () => void
  onRefusal(listen: (refusal: BlockRefusal) => void): () => void
}

export type MqttSourceOptions = {
  /** Blocks asked for at once. Each is a message of the hub's memory. */
  windowBlocks: number
  /** Blocks subscribed to beyond those: what a neighbour asks for fills our holes too. */
  aheadBlocks: number
  /** Silence after which holes are asked for again. */
  silenceMs: number
  /** Askings in a row that brought nothing. */
  asksMax: number
}

/** 128 blocks ahead are 8 MiB; a subscription costs the broker about as much as a topic is long. */
export const mqttSourceDefaults: MqttSourceOptions = {
  windowBlocks: 16,
  aheadBlocks: 128,
  silenceMs: 5_000,
  asksMax: 6,
}

/**
 * Blocks over MQTT: each on the topic of its own digest, published once for all devices that asked within a moment.
 * So it may come unasked because a neighbour asked, may come twice, or may have been missed.
 */
export function mqttSource(link: BlockLink, options: MqttSourceOptions = mqttSourceDefaults): BlockSource {
  return {
    name: 'mqtt',
    cost: 'link',
    isShared: true,
    async fetch(delivery) {
      const { wanted } = delivery
      for (let at = 0; at < wanted.length; at += options.aheadBlocks) {
        if (!link.isUp)
          return { end: 'retryable', code: 'link_lost', detail: 'mqtt: not connected', unreachable: true }
        const stretch = wanted.slice(at, at + options.aheadBlocks)
        const end = await fetchStretch(link, options, stretch, delivery)
        if (end.end !== 'complete') return end
      }
      return { end: 'complete' }
    },
  }
}

/** Subscribes to a whole stretch of blocks, and asks for those that nobody else makes the hub publish. */
async function fetchStretch(
  link: BlockLink,
  options: MqttSourceOptions,
  blocks: readonly Wanted[],
  { file, take, received, signal }: Delivery,
): Promise<SourceEnd> {
  const holes = new Map(blocks.map((block) => [block.index, block]))
  const arrived: [string, Uint8Array][] = []
  let refusal: BlockRefusal | undefined
  let wake = () => {}
  const ours: ReadonlySet<string> = new Set(blocks.map(({ sha256 }) => sha256))
  const topics = new Set(ours)
  const unlisten = link.onBlock((sha256, bytes) => {
    // Another slot's block is another plan's. One that comes twice is paid for twice.
    if (!ours.has(sha256)) return
    received(bytes.length)
    if (!topics.has(sha256)) return
    arrived.push([sha256, bytes])
    wake()
  })
  const unlistenRefusal = link.onRefusal((heard) => {
    if (heard.blob !== file.sha256) return
    refusal = heard
    wake()
  })
  const onAbort = () => wake()
  signal.addEventListener('abort', onAbort)
  let wrong = 0
  let justWrong = false
  try {
    await link.subscribe([...topics])
    /** Asked for and not here yet. */
    const asked = new Set<number>()
    let missed = false
    /** Here, and not yet unsubscribed from: what a neighbour makes the hub repeat should not come once more. */
    const done = new Set<string>()
    for (let silences = 0; holes.size > 0 && silences < options.asksMax; ) {
      // Half a window ahead, so that the line is never idle while a request travels.
      if (asked.size <= options.windowBlocks / 2) {
        const next = [...holes.values()]
          .filter(({ index }) => !asked.has(index))
          .slice(0, options.windowBlocks - asked.size)
        for (const { index } of next) asked.add(index)
        if (next.length > 0)
          await link.request({
            blob: file.sha256,
            blockBytes: file.blockBytes,
            blocks: next.map(({ index, sha256 }) => ({ index, sha256 })),
            ...(missed && { again: true }),
          })
        if (next.length > 0) missed = false
      }
      if (arrived.length === 0 && !refusal && !signal.aborted)
        await new Promise<void>((resolve) => {
          // A wrong block is no silence: ask again soon.
          const timer = setTimeout(
            // A busy process looks at its timers before its sockets, where a block may be waiting.
            () => setImmediate(() => setImmediate(resolve)),
            justWrong ? options.silenceMs / 10 : options.silenceMs,
          )
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      if (signal.aborted) throw signal.reason
      if (refusal)
        return { end: 'refused', code: 'internal', detail: `mqtt: the hub refused blocks: ${refusal.detail}` }
      const next = arrived.shift()
      if (!next) {
        silences++
        missed = true
        asked.clear()
        continue
      }
      justWrong = false
      // Equal blocks of a file share a topic: one message fills all of them.
      for (const block of [...holes.values()].filter(({ sha256 }) => sha256 === next[0])) {
        if (await take(block, next[1])) {
          holes.delete(block.index)
          asked.delete(block.index)
          silences = 0
        } else {
          wrong++
          justWrong = true
        }
      }
      if (wrong >= options.asksMax) return wrongBlocks(wrong)
      if (![...holes.values()].some(({ sha256 }) => sha256 === next[0])) done.add(next[0])
      if (done.size >= options.windowBlocks && holes.size > 0) {
        for (const sha256 of done) topics.delete(sha256)
        void link.unsubscribe([...done]).catch(() => {})
        done.clear()
      }
    }
    if (holes.size === 0) return { end: 'complete' }
    if (wrong > 0) return wrongBlocks(wrong)
    return {
      end: 'retryable',
      code: 'slow_source',
      detail: `mqtt: ${holes.size} blocks did not come when asked for`,
    }
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    return { end: 'retryable', code: 'link_lost', detail: `mqtt: ${(cause as Error).message}` }
  } finally {
    unlistenRefusal()
    signal.removeEventListener('abort', onAbort)
    await keepTheRest(arrived.splice(0), holes, take)
    // What was on its way before the broker has answered comes all the same: it is counted, and kept.
    await link.unsubscribe([...topics]).catch(() => {})
    unlisten()
    await keepTheRest(arrived, holes, take)
  }
}

/** Paid for already: whatever has ended the download, what is here is not to be fetched again. */
async function keepTheRest(
  arrived: readonly [string, Uint8Array][],
  holes: ReadonlyMap<number, Wanted>,
  take: Delivery['take'],
): Promise<void> {
  // A take that fails now was ending anyway.
  for (const [sha256, bytes] of arrived)
    for (const block of holes.values())
      if (block.sha256 === sha256) await take(block, bytes).catch(() => false)
}

function wrongBlocks(count: number): SourceEnd {
  return { end: 'retryable', code: 'integrity', detail: `mqtt: ${count} blocks came with the wrong digest` }
}
