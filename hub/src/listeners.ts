import { AsyncResource } from 'node:async_hooks'

/** Tells whoever asked to be told. A listener that throws is the listener's bug and must not stop the others. */
export class Listeners<A extends unknown[]> {
  readonly #listeners = new Set<(...args: A) => void>()
  readonly #failed: (error: unknown) => void

  constructor(failed: (error: unknown) => void) {
    this.#failed = failed
  }

  /**
   * Bound to the place that listens: otherwise a listener called from inside a transaction would be taken for a
   * part of that transaction by the store.
   */
  add(listener: (...args: A) => void): () => void {
    const bound = AsyncResource.bind(listener as () => void) as unknown as (...args: A) => void
    this.#listeners.add(bound)
    return () => this.#listeners.delete(bound)
  }

  tell(...args: A): void {
    for (const listener of this.#listeners) {
      try {
        listener(...args)
      } catch (error) {
        this.#failed(error)
      }
    }
  }
}
