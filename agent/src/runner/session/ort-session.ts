import type { Dtype, TensorInfo } from '@godwit/protocol/release/release'
import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common'
import type { Session, Tensors } from './session.ts'

/** A session of either engine: both speak the same interface. */
export class OrtSession implements Session {
  readonly inputs: readonly TensorInfo[]
  readonly outputs: readonly TensorInfo[]
  readonly executionProvider: string
  readonly nodes: Readonly<Record<string, number>> | undefined
  readonly #Tensor: TensorConstructor
  readonly #session: InferenceSession

  constructor(
    Tensor: TensorConstructor,
    session: InferenceSession,
    executionProvider: string,
    nodes?: Readonly<Record<string, number>>,
  ) {
    this.#Tensor = Tensor
    this.#session = session
    this.executionProvider = executionProvider
    this.nodes = nodes
    this.inputs = session.inputMetadata.flatMap(infoOf)
    this.outputs = session.outputMetadata.flatMap(infoOf)
  }

  tensor(dtype: Dtype, shape: readonly number[], data: Tensors[string]['data']) {
    const tensor = new this.#Tensor(dtype as 'float32', data as Float32Array, shape)
    return dtype === 'float16' ? asBits(tensor) : tensor
  }

  run(feeds: Tensors, outputs: readonly string[]): Promise<Tensors> {
    return this.#session.run(feeds as Record<string, Tensor>, outputs) as Promise<Tensors>
  }

  endProfiling(): void {
    this.#session.endProfiling()
  }

  release(): Promise<void> {
    return this.#session.release()
  }
}

/** The native half of 1.27 does not know Float16Array, which the other half insists on: it is given the same bits. */
function asBits(tensor: Tensor): Tensor {
  const { buffer, byteOffset, length } = tensor.data as unknown as Uint16Array
  return Object.assign(tensor, { cpuData: new Uint16Array(buffer, byteOffset, length) })
}

function infoOf(metadata: InferenceSession.ValueMetadata): TensorInfo[] {
  if (!metadata.isTensor) return []
  const shape = metadata.shape.map((size) => (size === freeInWasm ? '' : size))
  return [{ name: metadata.name, dtype: metadata.type as Dtype, shape }]
}

/** onnxruntime-web shows a free dimension that has no name as -1 read without its sign; native, as an empty name. */
const freeInWasm = 2 ** 32 - 1
