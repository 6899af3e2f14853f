import type { Dtype, TensorInfo } from '@godwit/protocol/release/release'
import type { Read } from '@godwit/protocol/schema'
import onnxProto from 'onnx-proto'
import { flawOfGraph } from './onnx-graph.ts'
import { flawOfModelBytes } from './onnx-wire.ts'

const { onnx } = onnxProto
type ValueInfo = onnxProto.onnx.IValueInfoProto

/** What a model file says of itself. `dtype` is absent for a sequence or map, `shape` when the file gives none. */
export type OnnxTensor = { name: string; dtype?: Dtype; shape?: TensorInfo['shape'] }
export type OnnxInfo = {
  irVersion: number
  /** Operator sets by domain; the empty domain is written `ai.onnx`. */
  opset: Record<string, number>
  inputs: OnnxTensor[]
  outputs: OnnxTensor[]
}
export type OnnxVerdict = Read<OnnxInfo>

/** ONNX's numbers for element types; those missing here have no place in a release. */
const dtypeOf: Record<number, Dtype> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  8: 'string',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
}

/**
 * Reads a model without running it. Says what no device should have to find out: a file that is empty, cut off,
 * padded or something else, that points at other files, or that contradicts itself. It cannot say that a model is
 * harmless or right: that is what golden vectors in a caged process are for.
 */
export function inspectOnnx(bytes: Uint8Array): OnnxVerdict {
  const flaw = flawOfModelBytes(bytes)
  if (flaw) return { ok: false, detail: flaw }
  let model: onnxProto.onnx.ModelProto
  try {
    model = onnx.ModelProto.decode(bytes)
  } catch (cause) {
    return { ok: false, detail: `is damaged: ${(cause as Error).message}` }
  }
  const { graph } = model
  if (!graph) return { ok: false, detail: 'has no graph' }
  const contradiction = flawOfGraph(graph, model.functions ?? [])
  if (contradiction) return { ok: false, detail: contradiction }

  const initialised = new Set((graph.initializer ?? []).map(({ name }) => name))
  const inputs = (graph.input ?? []).filter(({ name }) => !initialised.has(name)).map(toTensor)
  const outputs = (graph.output ?? []).map(toTensor)
  if (outputs.length === 0) return { ok: false, detail: 'has no outputs' }
  const opset = opsetOf(model)
  if (Object.keys(opset).length === 0) return { ok: false, detail: 'imports no operator set' }
  return { ok: true, value: { irVersion: Number(model.irVersion), opset, inputs, outputs } }
}

function opsetOf(model: onnxProto.onnx.ModelProto): Record<string, number> {
  return Object.fromEntries(
    model.opsetImport.map(({ domain, version }) => [domain || 'ai.onnx', Number(version ?? 0)]),
  )
}

function toTensor({ name, type }: ValueInfo): OnnxTensor {
  const tensor = type?.tensorType
  const dtype = tensor ? dtypeOf[tensor.elemType ?? 0] : undefined
  const dims = tensor?.shape?.dim
  return {
    name: name ?? '',
    ...(dtype && { dtype }),
    ...(dims && { shape: dims.map((dim, axis) => fixedSize(dim) ?? (dim.dimParam || `dim${axis}`)) }),
  }
}

/** Some exporters write -1 for "any size". */
function fixedSize({ dimValue }: onnxProto.onnx.TensorShapeProto.IDimension): number | undefined {
  const size = dimValue === undefined || dimValue === null ? -1 : Number(dimValue)
  return size >= 0 ? size : undefined
}
