import type { DurationMs } from '@godwit/protocol/units'

/** A sleep that others may end; who is woken before falling asleep does not sleep. */
export class Sleeper {
  #rouse: (() => void) | undefined
  #isWoken = false

  wake(): void {
    this.#isWoken = true
    this.#rouse?.()
  }

  /** @param ms undefined: until woken */
  async sleep(ms: DurationMs | undefined): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
        this.#rouse = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#rouse = undefined
    this.#isWoken = false
  }
}
