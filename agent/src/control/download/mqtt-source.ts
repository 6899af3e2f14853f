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
  /** Blocks asked for at once. Each is a subscription, and a message of the hub's memory. */
  windowBlocks: number
  /** Silence after which holes are asked for again. */
  silenceMs: number
  /** Askings in a row that brought nothing. */
  asksMax: number
}

export const mqttSourceDefaults: MqttSourceOptions = { windowBlocks: 16, silenceMs: 5_000, asksMax: 6 }

/**
 * Blocks over MQTT: each on the topic of its own digest, published once for all devices that asked within a moment.
 * So it may come unasked because a neighbour asked, may come twice, or may have been missed.
 */
export function mqttSource(link: BlockLink, options: MqttSourceOptions = mqttSourceDefaults): BlockSource {
  return {
    name: 'mqtt',
    async fetch(file, wanted, take, signal) {
      for (let at = 0; at < wanted.length; at += options.windowBlocks) {
        if (!link.isUp) return { end: 'retryable', code: 'link_lost', detail: 'mqtt: not connected' }
        const end = await fetchWindow(
          link,
          options,
          file,
          wanted.slice(at, at + options.windowBlocks),
          take,
          signal,
        )
        if (end.end !== 'complete') return end
      }
      return { end: 'complete' }
    },
  }
}

async function fetchWindow(
  link: BlockLink,
  options: MqttSourceOptions,
  file: { sha256: string; blockBytes: number },
  blocks: readonly Wanted[],
  take: (block: Wanted, bytes: Uint8Array) => Promise<boolean>,
  signal: AbortSignal,
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
      await link.request({
        blob: file.sha256,
        blockBytes: file.blockBytes,
        blocks: [...holes.values()].map(({ index, sha256 }) => ({ index, sha256 })),
      })
      for (;;) {
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
            asks = 0
          } else {
            wrong++
            justWrong = true
          }
        }
        if (holes.size === 0) break
      }
      if (wrong >= options.asksMax)
        return {
          end: 'retryable',
          code: 'integrity',
          detail: `mqtt: ${wrong} blocks came with the wrong digest`,
        }
    }
    if (holes.size === 0) return { end: 'complete' }
    if (wrong > 0)
      return {
        end: 'retryable',
        code: 'integrity',
        detail: `mqtt: ${wrong} blocks came with the wrong digest`,
      }
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
