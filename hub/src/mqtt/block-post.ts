import { blocksPerRequestMax } from '@godwit/protocol/limits'
import type { BlockRefusal, BlockRequest } from '@godwit/protocol/messages/blocks'
import { blockRange } from '@godwit/protocol/release/blocks'
import type { ByteRange } from '../blobs/blobs.ts'
import { BlockEcho } from './block-echo.ts'
import type { BlockIndex } from './block-index.ts'

export const blockPostDefaults = {
  /** How long a block waits for others to ask for it too. A tenth of a mobile round trip; a canary notices nothing. */
  coalesceMs: 20,
  /** Doubled with each copy of the same block in short time: devices that come late are collected, not served one by one. */
  coalesceMsMax: 2_000,
  /** Blocks read and under way at once: eight of 64 KiB fill any link that MQTT is the right way for. */
  concurrentMax: 8,
  /** A subscriber that stands still must not hold a place for longer than this. */
  deliveryMsMax: 500,
  /** Half of a gigabit link; the other half is for telemetry. */
  bytesPerSecondMax: 64 * 2 ** 20,
  /** Two requests. Whoever asks for more at once is told nothing and asks again for the holes. */
  waitingPerDeviceMax: 2 * blocksPerRequestMax,
  /** 256 MiB of blocks at most wait for their turn. */
  waitingMax: 4_096,
}

type Waiting = { sha256: string; blob: string; range: ByteRange; askers: Set<string>; dueMs: number }
type Needs = {
  index(): Promise<BlockIndex>
  read(blob: string, range: ByteRange): Promise<Uint8Array | undefined>
  publish(sha256: string, bytes: Uint8Array): Promise<void>
  failed(error: unknown): void
  options?: Partial<typeof blockPostDefaults>
}

/**
 * Publishes each block once for all who asked within a moment, so that a thousand devices cost the hub about one copy
 * (SPEC 4.4). There is no promise of delivery; devices ask again for what is missing.
 */
export class BlockPost {
  readonly #needs: Needs
  readonly #options: typeof blockPostDefaults
  readonly #waiting = new Map<string, Waiting>()
  readonly #echo = new BlockEcho()
  readonly #perDevice = new Map<string, number>()
  #timer: { handle: NodeJS.Timeout; atMs: number } | undefined
  #underWay = 0
  /** When the line is free again, by the pace that `bytesPerSecondMax` sets. */
  #freeAt = 0
  #isStopped = false

  constructor(needs: Needs) {
    this.#needs = needs
    this.#options = { ...blockPostDefaults, ...needs.options }
  }

  /** Undefined: the blocks will come, or at least some of them. */
  async ask(deviceId: string, request: BlockRequest): Promise<BlockRefusal | undefined> {
    const { blob } = request
    const file = (await this.#needs.index()).get(blob)
    if (!file) return { blob, code: 'not_listed', detail: 'no listed release names this file' }
    if (file.blockBytes !== request.blockBytes) {
      const detail = `blocks of ${file.blockBytes} bytes expected, ${request.blockBytes} asked for`
      return { blob, code: 'malformed', detail }
    }
    const wrong = request.blocks.find(({ index, sha256 }) => file.blocks[index] !== sha256)
    if (wrong) return { blob, code: 'malformed', detail: `block ${wrong.index} is not ${wrong.sha256}` }
    const nowMs = performance.now()
    for (const { index, sha256 } of request.blocks) {
      // Its request and the block that a neighbour had asked for have crossed.
      if (!request.again && this.#echo.isUnderWay(deviceId, sha256, nowMs)) continue
      this.#enqueue(deviceId, sha256, blob, blockRange(file, index), nowMs)
    }
    return undefined
  }

  /** The broker has written this block to the device's connection. */
  forwarded(deviceId: string, sha256: string): void {
    this.#echo.forwarded(deviceId, sha256)
  }

  gone(deviceId: string): void {
    this.#echo.gone(deviceId)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer?.handle)
    this.#waiting.clear()
  }

  #enqueue(deviceId: string, sha256: string, blob: string, range: ByteRange, nowMs: number): void {
    const known = this.#waiting.get(sha256)
    if (known?.askers.has(deviceId)) return
    const asked = this.#perDevice.get(deviceId) ?? 0
    if (this.#isStopped || asked >= this.#options.waitingPerDeviceMax) return
    if (!known && this.#waiting.size >= this.#options.waitingMax) return
    this.#perDevice.set(deviceId, asked + 1)
    if (known) known.askers.add(deviceId)
    else {
      const dueMs = this.#echo.dueMs(sha256, this.#options, nowMs)
      this.#waiting.set(sha256, { sha256, blob, range, askers: new Set([deviceId]), dueMs })
    }
    this.#schedule(this.#options.coalesceMs)
  }

  /** The earliest wins: a block that waits long for its latecomers must not keep the others waiting. */
  #schedule(delayMs: number): void {
    const atMs = performance.now() + delayMs
    if (this.#timer && this.#timer.atMs <= atMs) return
    clearTimeout(this.#timer?.handle)
    const handle = setTimeout(() => {
      this.#timer = undefined
      this.#pump()
    }, delayMs)
    this.#timer = { handle, atMs }
  }

  /** In the order in which blocks were first asked for. */
  #pump(): void {
    let nextMs = Number.POSITIVE_INFINITY
    const nowMs = performance.now()
    for (const waiting of this.#waiting.values()) {
      if (this.#underWay >= this.#options.concurrentMax) return
      if (waiting.dueMs > nowMs) {
        nextMs = Math.min(nextMs, waiting.dueMs - nowMs)
        continue
      }
      const pauseMs = this.#freeAt - performance.now()
      if (pauseMs > 0) {
        this.#schedule(Math.ceil(pauseMs))
        return
      }
      this.#waiting.delete(waiting.sha256)
      for (const deviceId of waiting.askers) this.#settle(deviceId)
      this.#underWay++
      this.#freeAt = Math.max(this.#freeAt, performance.now()) + this.#costMs(waiting)
      this.#send(waiting)
        .catch(this.#needs.failed)
        .finally(() => {
          this.#underWay--
          if (this.#waiting.size > 0) this.#schedule(0)
        })
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#schedule(Math.ceil(nextMs))
  }

  #costMs({ range }: Waiting): number {
    return (range.length / this.#options.bytesPerSecondMax) * 1_000
  }

  #settle(deviceId: string): void {
    const asked = (this.#perDevice.get(deviceId) ?? 1) - 1
    if (asked > 0) this.#perDevice.set(deviceId, asked)
    else this.#perDevice.delete(deviceId)
  }

  async #send({ sha256, blob, range }: Waiting): Promise<void> {
    const bytes = await this.#needs.read(blob, range)
    if (!bytes) throw new Error(`blob ${blob} is listed and not there, or shorter than its release says`)
    this.#echo.published(sha256, performance.now())
    const delivered = this.#needs.publish(sha256, bytes)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.deliveryMsMax)
    })
    await Promise.race([delivered, late])
    clearTimeout(timer)
  }
}
