import type { onnx } from 'onnx-proto'

/** ONNX's number for "the data lies in another file". */
const external = 1
/** Bytes of one element in `raw_data`, by ONNX's number of the element type. */
const elementBytes: Record<number, number> = {
  1: 4,
  2: 1,
  3: 1,
  4: 2,
  5: 2,
  6: 4,
  7: 8,
  9: 1,
  10: 2,
  11: 8,
  12: 4,
  13: 8,
  14: 8,
  15: 16,
  16: 2,
}
/** Graphs within graphs (loops, branches). Real models have two or three; the bound keeps the walk finite. */
const depthMax = 32

/** What is wrong with a graph by itself, or undefined. Looks into branches, loops and functions too. */
export function flawOfGraph(
  graph: onnx.IGraphProto,
  functions: readonly onnx.IFunctionProto[],
): string | undefined {
  for (const { name, node } of functions) {
    const flaw = flawOfNodes(node ?? [], 1)
    if (flaw) return `function ${shown(name)} ${flaw}`
  }
  return flawIn(graph, 0)
}

function flawIn(graph: onnx.IGraphProto, depth: number): string | undefined {
  if (depth > depthMax) return `has graphs nested deeper than ${depthMax}`
  for (const tensor of graph.initializer ?? []) {
    const flaw = flawOfTensor(tensor)
    if (flaw) return flaw
  }
  for (const { values, indices } of graph.sparseInitializer ?? []) {
    const flaw = (values && flawOfTensor(values)) || (indices && flawOfTensor(indices))
    if (flaw) return flaw
  }
  return flawOfNames(graph) ?? flawOfNodes(graph.node ?? [], depth)
}

/** Each value has one maker, or it depends on the runtime which of them counts. */
function flawOfNames(graph: onnx.IGraphProto): string | undefined {
  const made = (graph.node ?? []).flatMap(({ output }) => output ?? []).filter((name) => name !== '')
  const inputs = (graph.input ?? []).map(({ name }) => name ?? '')
  const outputs = (graph.output ?? []).map(({ name }) => name ?? '')
  const initialised = (graph.initializer ?? []).map(({ name }) => name ?? '')
  const twice =
    repeated(made) ??
    repeated(inputs) ??
    repeated(outputs) ??
    repeated(initialised) ??
    repeated([...made, ...new Set([...inputs, ...initialised])])
  if (twice !== undefined) return `defines ${shown(twice)} twice`
  const known = new Set([...made, ...inputs, ...initialised])
  const missing = outputs.find((name) => !known.has(name))
  return missing === undefined ? undefined : `promises the output ${shown(missing)}, which nothing computes`
}

function flawOfNodes(nodes: readonly onnx.INodeProto[], depth: number): string | undefined {
  for (const { attribute } of nodes) {
    for (const { t, g, tensors, graphs } of attribute ?? []) {
      for (const tensor of [t, ...(tensors ?? [])]) {
        const flaw = tensor && flawOfTensor(tensor)
        if (flaw) return flaw
      }
      for (const graph of [g, ...(graphs ?? [])]) {
        const flaw = graph && flawIn(graph, depth + 1)
        if (flaw) return flaw
      }
    }
  }
  return undefined
}

function flawOfTensor(tensor: onnx.ITensorProto): string | undefined {
  const name = shown(tensor.name)
  if (tensor.dataLocation === external || (tensor.externalData ?? []).length > 0) {
    const where = tensor.externalData?.find(({ key }) => key === 'location')?.value
    return `keeps ${name} in another file (${shown(where)}): save the model as one file`
  }
  const dims = (tensor.dims ?? []).map(Number)
  if (dims.some((size) => size < 0)) return `gives ${name} the impossible shape [${dims}]`
  const elements = dims.reduce((product, size) => product * size, 1)
  if (!Number.isSafeInteger(elements)) return `gives ${name} the impossible shape [${dims}]`
  const size = elementBytes[tensor.dataType ?? 0]
  const found = tensor.rawData?.length ?? 0
  if (size === undefined || found === 0 || found === elements * size) return undefined
  return `holds ${found} bytes for ${name} of shape [${dims}], expected ${elements * size}`
}

function repeated(names: readonly string[]): string | undefined {
  const seen = new Set<string>()
  return names.find((name) => seen.size === seen.add(name).size)
}

/** Names come from a file that nobody has checked: quoted, and never long. */
function shown(name: string | null | undefined): string {
  return JSON.stringify((name ?? '').slice(0, 80))
}
