import type { DurationMs } from '@godwit/protocol/units'

/** A broker hands out what it retains at once; after so long it has none. */
const comesWithinMs: DurationMs = 10_000

type Subscriptions = {
  subscribe(topics: readonly string[]): Promise<void>
  unsubscribe(topics: readonly string[]): Promise<void>
}

/** Retained documents that are asked for by name: subscribed to, waited for, and let go of. */
export class AskedMetadata {
  readonly #awaited = new Map<string, (bytes: Uint8Array) => void>()

  /** Undefined when it does not come. */
  async ask(topic: string, link: Subscriptions): Promise<Uint8Array | undefined> {
    let timer: NodeJS.Timeout | undefined
    const comes = new Promise<Uint8Array | undefined>((resolve) => {
      this.#awaited.set(topic, resolve)
      timer = setTimeout(() => resolve(undefined), comesWithinMs)
    })
    try {
      await link.subscribe([topic])
      return await comes
    } catch {
      return undefined
    } finally {
      clearTimeout(timer)
      this.#awaited.delete(topic)
      await link.unsubscribe([topic]).catch(() => {})
    }
  }

  /** @returns whether somebody waits for it; an empty message clears a retained document and is none */
  heard(topic: string, payload: Uint8Array): boolean {
    const take = this.#awaited.get(topic)
    if (take && payload.length > 0) take(Uint8Array.from(payload))
    return take !== undefined
  }
}
