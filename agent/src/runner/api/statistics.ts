/** How often, and how long in all. */
type Times = { count: number; ns: number }

const none = (): Times => ({ count: 0, ns: 0 })

/** What Triton's `statistics` extension tells of a model, since this runner began to serve it. */
export class Statistics {
  #success = none()
  #fail = none()
  #queue = none()
  #input = none()
  #infer = none()
  #output = none()
  #lastAt = 0

  succeeded(at: number, ms: { queue: number; input: number; infer: number; output: number }): void {
    this.#lastAt = at
    add(this.#success, ms.queue + ms.input + ms.infer + ms.output)
    add(this.#queue, ms.queue)
    add(this.#input, ms.input)
    add(this.#infer, ms.infer)
    add(this.#output, ms.output)
  }

  failed(ms: number): void {
    add(this.#fail, ms)
  }

  /** @param memoryBytes resident memory of this process, which holds one model */
  read(name: string, version: string, memoryBytes: number) {
    const { count } = this.#success
    return {
      name,
      version,
      last_inference: this.#lastAt,
      inference_count: count,
      execution_count: count,
      inference_stats: {
        success: this.#success,
        fail: this.#fail,
        queue: this.#queue,
        compute_input: this.#input,
        compute_infer: this.#infer,
        compute_output: this.#output,
      },
      batch_stats: [],
      memory_usage: [{ type: 'CPU', id: 0, byte_size: memoryBytes }],
    }
  }
}

function add(times: Times, ms: number): void {
  times.count++
  times.ns += Math.round(ms * 1e6)
}
