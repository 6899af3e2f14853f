import type { Dtype, TensorInfo } from '@godwit/protocol/release/release'

export type TensorData = ArrayLike<number | bigint | boolean | string>

/** A tensor of some runtime. `data` is what the runtime uses: booleans are bytes, 64-bit integers are bigints. */
export type SessionTensor = {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: TensorData
}

export type Tensors = Record<string, SessionTensor>

/** What runs models here, and on which execution providers it can. */
export type Runtime = { name: string; version: string; executionProviders: string[] }

/** One loaded model. The only thing that the rest of the runner knows of a model runtime. */
export type Session = {
  /** Tensors only: what a runtime has besides (sequences, maps) cannot be promised by a release. */
  readonly inputs: readonly TensorInfo[]
  readonly outputs: readonly TensorInfo[]
  /** The one that runs, never one that was only asked for. */
  readonly executionProvider: string
  /** Nodes of the graph by the provider that ran them; undefined where there is only one that could. */
  readonly nodes?: Readonly<Record<string, number>> | undefined
  /** Wraps `data` without copying it: what is written there later is what the next run reads. */
  tensor(dtype: Dtype, shape: readonly number[], data: TensorData): SessionTensor
  run(feeds: Tensors, outputs: readonly string[]): Promise<Tensors>
  release(): Promise<void>
}
