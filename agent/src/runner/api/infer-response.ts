import type { Dtype } from '@godwit/protocol/release/release'
import type { Tensors } from '../session/session.ts'
import { datatypeOf } from './datatypes.ts'
import type { InferRequest } from './infer-request.ts'
import { bytesOfTensor } from './tensor-binary.ts'
import { jsonOf } from './tensor-json.ts'

export type Answer = { body: Buffer; contentType: string; jsonBytes: number | undefined }

/** JSON, and behind it the tensors that were asked for as bytes, in the order of the outputs. */
export function writeInferResponse(
  { id, outputs }: Pick<InferRequest, 'id' | 'outputs'>,
  { model, version }: { model: string; version: string },
  answer: Tensors,
): Answer {
  const tails: Uint8Array[] = []
  const parts = outputs.map(({ name, isBinary }) => {
    const tensor = answer[name]!
    const head = { name, datatype: datatypeOf[tensor.type as Dtype], shape: tensor.dims }
    if (!isBinary) return `${JSON.stringify(head).slice(0, -1)},"data":${jsonOf(name, tensor)}}`
    const bytes = bytesOfTensor(tensor)
    tails.push(bytes)
    return JSON.stringify({ ...head, parameters: { binary_data_size: bytes.length } })
  })
  const start = JSON.stringify({ model_name: model, model_version: version, ...(id !== undefined && { id }) })
  const json = Buffer.from(`${start.slice(0, -1)},"outputs":[${parts.join()}]}`)
  if (tails.length === 0) return { body: json, contentType: 'application/json', jsonBytes: undefined }
  const body = Buffer.concat([json, ...tails])
  return { body, contentType: 'application/octet-stream', jsonBytes: json.length }
}
