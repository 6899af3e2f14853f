import type { Session, SessionTensor, Tensors } from '@godwit/agent/runner/session/session'

/** The other party, faked: answers the mean of its input, and whatever `before` does to a run. */
export function meanSession(before: (run: number, input: Float32Array) => void = () => {}): Session {
  let runs = 0
  return {
    inputs: [{ name: 'x', dtype: 'float32', shape: [1, 'w', 'f'] }],
    outputs: [{ name: 'score', dtype: 'float32', shape: [1] }],
    executionProvider: 'cpu',
    tensor: (dtype, shape, data): SessionTensor => ({ type: dtype, dims: shape, data }),
    async run(feeds): Promise<Tensors> {
      const input = feeds['x']!.data as Float32Array
      await new Promise((resolve) => setImmediate(resolve))
      before(runs++, input)
      const mean = input.reduce((sum, value) => sum + value, 0) / input.length
      return { score: { type: 'float32', dims: [1], data: Float32Array.of(mean) } }
    },
    async release() {},
  }
}
