import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { Telling } from '../events.ts'
import { because, type Log } from '../log.ts'
import { codeFor } from '../report.ts'
import type { Trust } from './trust.ts'

const refreshDelayMs = 200
const refreshRetryMs = 60_000
const directiveRetryMs = 5_000

export type TrustKeeperDeps = {
  trust: Trust
  log: Log
  tell: (telling: Telling) => void
  /** Another directive holds from now on. */
  onDirective: () => void
  /** What somebody waited for may be there. */
  onTrusted: () => void
}

/** Takes what comes signed, by whatever way: again later when the disk would not have it, and loudly when it is wrong. */
export class TrustKeeper {
  readonly #deps: TrustKeeperDeps
  #directiveTimer: NodeJS.Timeout | undefined
  #refreshTimer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(deps: TrustKeeperDeps) {
    this.#deps = deps
  }

  /** Pieces come one by one; looked at together, a moment after the last. */
  heard(topic: string, payload: Uint8Array): void {
    if (this.#deps.trust.heard(topic, payload)) this.#refreshIn(refreshDelayMs)
  }

  /** Never rejects. */
  async takeDirective(payload: Uint8Array): Promise<void> {
    const { trust, log, tell, onDirective } = this.#deps
    clearTimeout(this.#directiveTimer)
    try {
      const taken = await trust.takeDirective(payload)
      if (!taken.trusted) {
        return tell({
          kind: 'directive_refused',
          key: `directive_refused/${sha256Hex(payload)}`,
          severity: 'alarm',
          detail: { code: codeFor(taken.because), because: taken.detail },
        })
      }
      if (!taken.value.unchanged) onDirective()
    } catch (error) {
      // The hub says it once per connection; a disk that is full now may take it later.
      log.error({ because: because(error) }, 'cannot take a directive now')
      if (this.#isStopped) return
      clearTimeout(this.#directiveTimer)
      this.#directiveTimer = setTimeout(() => void this.takeDirective(payload), directiveRetryMs)
    }
  }

  /** Never rejects. */
  async refresh(): Promise<void> {
    const { trust, log, tell, onTrusted } = this.#deps
    try {
      const verdict = await trust.refresh()
      if (verdict.trusted) return onTrusted()
      log.warn({ because: verdict.detail, code: verdict.because }, 'metadata not trusted')
      // Missing pieces come with the next retained messages; everything else is worth a person's attention.
      if (verdict.because !== 'absent')
        tell({
          kind: 'metadata_refused',
          key: `metadata_refused/${sha256Hex(Buffer.from(verdict.detail))}`,
          severity: 'alarm',
          detail: { code: codeFor(verdict.because), because: verdict.detail },
        })
    } catch (error) {
      log.warn({ because: because(error) }, 'cannot refresh the metadata')
      this.#refreshIn(refreshRetryMs)
    }
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#directiveTimer)
    clearTimeout(this.#refreshTimer)
  }

  #refreshIn(delayMs: number): void {
    if (this.#isStopped) return
    clearTimeout(this.#refreshTimer)
    this.#refreshTimer = setTimeout(() => void this.refresh(), delayMs)
  }
}
