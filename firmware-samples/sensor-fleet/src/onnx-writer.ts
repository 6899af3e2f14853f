import type { onnx as Onnx } from 'onnx-proto'
import onnxProto from 'onnx-proto'

// A CommonJS module whose names Node cannot see from outside.
const { onnx } = onnxProto
const { FLOAT, INT64 } = onnx.TensorProto.DataType

/** ONNX Runtime 1.27 reads up to opset 26; 17 with IR 8 (both of 2022) leaves room for older runtimes. */
export const opset = 17
export const irVersion = 8

/** A dimension is a number, or a name for one that the caller chooses. */
export type ValueShape = readonly (number | string)[]
export type Value = { name: string; shape: ValueShape }

/**
 * Writes one ONNX graph, node by node. A node is named after its output, constants after what they hold;
 * nodes stand in the order they were added, which must be an order they can run in.
 */
export class OnnxGraph {
  readonly #name: string
  readonly #nodes: Onnx.INodeProto[] = []
  readonly #constants: Onnx.ITensorProto[] = []

  constructor(name: string) {
    this.#name = name
  }

  floats(name: string, shape: readonly number[], values: Iterable<number>): string {
    const data = Float32Array.from(values)
    return this.#constant(
      name,
      shape,
      FLOAT,
      data.length,
      bytesOf(data.length, 4, (view, i) => view.setFloat32(4 * i, data[i]!, true)),
    )
  }

  integers(name: string, values: readonly number[], shape: readonly number[] = [values.length]): string {
    const data = bytesOf(values.length, 8, (view, i) => view.setBigInt64(8 * i, BigInt(values[i]!), true))
    return this.#constant(name, shape, INT64, values.length, data)
  }

  /** Adds a node and returns the name of its output. Attributes are integers or lists of them. */
  node(
    output: string,
    opType: string,
    inputs: readonly string[],
    attributes: Record<string, number | number[]> = {},
  ): string {
    this.#nodes.push({
      name: output,
      opType,
      input: [...inputs],
      output: [output],
      attribute: Object.entries(attributes).map(([name, value]) => attributeOf(name, value)),
    })
    return output
  }

  encode(
    inputs: readonly Value[],
    outputs: readonly Value[],
    about: { modelVersion: number; docString: string },
  ): Uint8Array {
    const model: Onnx.IModelProto = {
      irVersion,
      opsetImport: [{ domain: '', version: opset }],
      producerName: 'godwit-sample-sensor-fleet',
      modelVersion: about.modelVersion,
      docString: about.docString,
      graph: {
        name: this.#name,
        node: this.#nodes,
        initializer: this.#constants,
        input: inputs.map(valueInfo),
        output: outputs.map(valueInfo),
      },
    }
    // A copy: protobufjs hands out a view into its pool.
    return Uint8Array.from(onnx.ModelProto.encode(model).finish())
  }

  #constant(
    name: string,
    shape: readonly number[],
    dataType: number,
    length: number,
    rawData: Uint8Array,
  ): string {
    const size = shape.reduce((product, n) => product * n, 1)
    if (size !== length) throw new Error(`constant ${name}: ${length} values do not fill [${shape}]`)
    this.#constants.push({ name, dims: [...shape], dataType, rawData })
    return name
  }
}

/** Little-endian on every machine, as ONNX wants raw data. */
function bytesOf(count: number, width: number, write: (view: DataView, i: number) => void): Uint8Array {
  const bytes = new Uint8Array(count * width)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < count; i++) write(view, i)
  return bytes
}

function attributeOf(name: string, value: number | number[]): Onnx.IAttributeProto {
  const { INT, INTS } = onnx.AttributeProto.AttributeType
  return typeof value === 'number' ? { name, type: INT, i: value } : { name, type: INTS, ints: value }
}

function valueInfo({ name, shape }: Value): Onnx.IValueInfoProto {
  const dim = shape.map((n) => (typeof n === 'number' ? { dimValue: n } : { dimParam: n }))
  return { name, type: { tensorType: { elemType: FLOAT, shape: { dim } } } }
}
