import type { BlockRefusal, BlockRequest } from '@godwit/protocol/messages/blocks'
import type { BlockSource, SourceEnd } from './block-source.ts'
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

type Fetch = {
  file: { sha256: string; blockBytes: number }
  take: (block: Wanted, bytes: Uint8Array) => Promise<boolean>
  signal: AbortSignal
}

/**
 * Blocks over MQTT: each on the topic of its own digest, published once for all devices that asked within a moment.
 * So it may come unasked because a neighbour asked, may come twice, or may have been missed.
 */
export function mqttSource(link: BlockLink, options: MqttSourceOptions = mqttSourceDefaults): BlockSource {
  return {
    name: 'mqtt',
    async fetch(file, wanted, take, signal) {
      for (let at = 0; at < wanted.length; at += options.aheadBlocks) {
        if (!link.isUp) return { end: 'retryable', code: 'link_lost', detail: 'mqtt: not connected' }
        const stretch = wanted.slice(at, at + options.aheadBlocks)
        const end = await fetchStretch(link, options, stretch, { file, take, signal })
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
  { file, take, signal }: Fetch,
): Promise<SourceEnd> {
  const holes = new Map(blocks.map((block) => [block.index, block]))
  const arrived: [string, Uint8Array][] = []
  let refusal: BlockRefusal | undefined
  let wake = () => {}
  const unlisten = link.onBlock((sha256, bytes) => {
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
  const topics = [...new Set(blocks.map(({ sha256 }) => sha256))]
  let wrong = 0
  let justWrong = false
  try {
    await link.subscribe(topics)
    for (let asks = 0; holes.size > 0 && asks < options.asksMax; asks++) {
      const asked = [...holes.values()].slice(0, options.windowBlocks)
      await link.request({
        blob: file.sha256,
        blockBytes: file.blockBytes,
        blocks: asked.map(({ index, sha256 }) => ({ index, sha256 })),
      })
      // Until what was asked for is here; whatever else arrives in the meantime is one hole less to ask for.
      while (asked.some(({ index }) => holes.has(index))) {
        if (arrived.length === 0 && !refusal && !signal.aborted)
          await new Promise<void>((resolve) => {
            // A wrong block is no silence: ask again soon.
            const timer = setTimeout(resolve, justWrong ? options.silenceMs / 10 : options.silenceMs)
            wake = () => {
              clearTimeout(timer)
              resolve()
            }
          })
        if (signal.aborted) throw signal.reason
        if (refusal)
          return {
            end: 'refused',
            code: 'internal',
            detail: `mqtt: the hub refused blocks: ${refusal.detail}`,
          }
        const next = arrived.shift()
        if (!next) break
        justWrong = false
        // Equal blocks of a file share a topic: one message fills all of them.
        for (const block of [...holes.values()].filter(({ sha256 }) => sha256 === next[0])) {
          if (await take(block, next[1])) {
            holes.delete(block.index)
            asks = -1
          } else {
            wrong++
            justWrong = true
          }
        }
        if (wrong >= options.asksMax) return wrongBlocks(wrong)
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
    unlisten()
    unlistenRefusal()
    signal.removeEventListener('abort', onAbort)
    await link.unsubscribe(topics).catch(() => {})
  }
}

function wrongBlocks(count: number): SourceEnd {
  return { end: 'retryable', code: 'integrity', detail: `mqtt: ${count} blocks came with the wrong digest` }
}
