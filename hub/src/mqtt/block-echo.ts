import type { DurationMs } from '@godwit/protocol/units'

/** Longer than any block waits in a connection that still moves. A device that misses one says so (`again`). */
const rememberedMs = 30_000
/** Devices times blocks; a third of a megabyte of a block's memory is nothing against the block. */
const deliveriesMax = 500_000

type Sent = { atMs: number; copies: number; to: Set<string> }

/**
 * What was published lately, and into whose connection it was written. A device asks for its next blocks while those that
 * its neighbours have asked for are still on their way to it: to publish them again would send every copy to everybody.
 */
export class BlockEcho {
  /** In the order of publication. */
  readonly #sent = new Map<string, Sent>()
  #deliveries = 0

  published(sha256: string, nowMs: number): void {
    this.#forgetOld(nowMs)
    const before = this.#sent.get(sha256)
    this.#sent.delete(sha256)
    this.#sent.set(sha256, { atMs: nowMs, copies: (before?.copies ?? 0) + 1, to: before?.to ?? new Set() })
  }

  forwarded(deviceId: string, sha256: string): void {
    const sent = this.#sent.get(sha256)
    if (!sent || sent.to.has(deviceId)) return
    sent.to.add(deviceId)
    this.#deliveries++
  }

  /** With its connection went what was in it. */
  gone(deviceId: string): void {
    for (const { to } of this.#sent.values()) if (to.delete(deviceId)) this.#deliveries--
  }

  isUnderWay(deviceId: string, sha256: string, nowMs: number): boolean {
    const sent = this.#sent.get(sha256)
    return sent !== undefined && nowMs - sent.atMs < rememberedMs && sent.to.has(deviceId)
  }

  /** When a block may go that is asked for now. */
  dueMs(
    sha256: string,
    { coalesceMs, coalesceMsMax }: { coalesceMs: DurationMs; coalesceMsMax: DurationMs },
    nowMs: number,
  ): number {
    const sent = this.#sent.get(sha256)
    const copies = sent && nowMs - sent.atMs < rememberedMs ? sent.copies : 0
    return nowMs + (copies === 0 ? 0 : Math.min(coalesceMsMax, coalesceMs * 2 ** Math.min(20, copies)))
  }

  #forgetOld(nowMs: number): void {
    for (const [sha256, { atMs, to }] of this.#sent) {
      if (nowMs - atMs < rememberedMs && this.#deliveries < deliveriesMax) return
      this.#sent.delete(sha256)
      this.#deliveries -= to.size
    }
  }
}
