/** Runs what it is given one at a time, in order. A piece of work that fails rejects its own promise only. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work)
    this.#tail = result.catch(() => {})
    return result
  }
}
