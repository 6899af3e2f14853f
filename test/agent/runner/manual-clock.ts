import type { Clock } from '@godwit/agent/runner/clock'

/** Time that passes only when told to. */
export class ManualClock implements Clock {
  #ms = 0
  #timers: { atMs: number; run: () => void }[] = []

  now(): number {
    return 1_700_000_000_000 + this.#ms
  }

  monotonicMs(): number {
    return this.#ms
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.#ms + ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  get waiting(): number {
    return this.#timers.length
  }

  advance(ms: number): void {
    this.#ms += ms
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#ms).sort((a, b) => a.atMs - b.atMs)
    this.#timers = this.#timers.filter((timer) => !due.includes(timer))
    for (const { run } of due) run()
  }
}
