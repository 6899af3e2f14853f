import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import type { Session, SessionTensor, Tensors } from '@godwit/agent/runner/session/session'

const data = join(dirname(fileURLToPath(import.meta.url)), '../../../../../shared/data/models')
export const hasPublishedModels = existsSync(data)
export const pathOf = (model: string) => join(data, model)

/** With the answers that came with them; the others are variants of these. */
export const modelsWithVectors = hasPublishedModels
  ? readdirSync(data)
      .filter((name) => existsSync(join(data, `${name}.vectors.json`)))
      .sort()
  : []
export const modelsWithout = hasPublishedModels
  ? readdirSync(data).filter((name) => name.endsWith('.onnx') && !modelsWithVectors.includes(name))
  : []

type Packed = {
  dtype: 'float32' | 'int32'
  shape: number[]
  b64?: string
  generate?: string
  u8_gz_b64?: string
  u16_gz_b64?: string
}
type Expected = Record<string, unknown> & { atol?: number }
type Vectors = {
  stateful?: boolean
  audio?: string
  frame?: number
  context?: number
  speech_prob?: number[]
  cases?: { inputs: Record<string, Packed>; expect: Expected }[]
}

/** How many of a model's published answers it gives, in a session of any engine. */
export async function agreement(session: Session, model: string): Promise<{ agreed: number; total: number }> {
  const vectors = JSON.parse(readFileSync(pathOf(`${model}.vectors.json`), 'utf8')) as Vectors
  if (vectors.stateful) return speech(session, vectors)
  let agreed = 0
  const cases = vectors.cases ?? []
  for (const { inputs, expect } of cases) {
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, packed]) => [name, tensorOf(session, packed)]),
    )
    // The sklearn model has an output besides that is no tensor, and that no engine can hand over.
    const fetched = session.outputs.map(({ name }) => name).filter((name) => name !== 'output_probability')
    const answer = await session.run(feeds, fetched)
    if (isAsExpected(answer, expect)) agreed++
  }
  return { agreed, total: cases.length }
}

function tensorOf(session: Session, { dtype, shape, ...packed }: Packed): SessionTensor {
  const count = shape.reduce((product, size) => product * size, 1)
  if (packed.generate !== undefined)
    return session.tensor(
      dtype,
      shape,
      Float32Array.from({ length: count }, (_, i) => i / count),
    )
  if (packed.u8_gz_b64 !== undefined)
    return session.tensor(
      dtype,
      shape,
      Float32Array.from(unzipped(packed.u8_gz_b64), (u8) => (u8 - 127) / 128),
    )
  if (packed.u16_gz_b64 !== undefined)
    return session.tensor(dtype, shape, Int32Array.from(new Uint16Array(unzipped(packed.u16_gz_b64).buffer)))
  return session.tensor(dtype, shape, floatsOf(packed.b64!))
}

const unzipped = (b64: string) => Uint8Array.from(gunzipSync(Buffer.from(b64, 'base64')))
const floatsOf = (b64: string) => new Float32Array(Uint8Array.from(Buffer.from(b64, 'base64')).buffer)
const numbersOf = ({ data }: SessionTensor) => Array.from(data, Number)

function isAsExpected(answer: Tensors, expect: Expected): boolean {
  const { atol = 1e-3 } = expect
  if ('argmax_of' in expect) {
    const [name] = String(expect['argmax_of']).split(' ')
    const values = numbersOf(answer[name!]!)
    return (values.length === 1 ? values[0] : argmax(values)) === expect['label']
  }
  if ('argmax_index' in expect) {
    const [values] = Object.values(answer).map(numbersOf)
    const index = argmax(values!)
    return index === expect['argmax_index'] && Math.abs(values![index]! - Number(expect['score'])) <= atol
  }
  if ('anchors_over_0_9' in expect) {
    const anchors = expect['anchors_over_0_9'] as { i: number; score: number }[]
    const scores = numbersOf(answer['scores']!)
    const isFace = (i: number) => (scores[2 * i + 1] ?? 0) > 0.9
    const count = scores.filter((_, i) => i < scores.length / 2 && isFace(i)).length
    return (
      count === anchors.length &&
      anchors.every(({ i, score }) => Math.abs(scores[2 * i + 1]! - score) <= atol)
    )
  }
  const tensors = Object.entries(expect).filter(([, value]) => typeof (value as Packed)?.b64 === 'string')
  return tensors.every(([name, packed]) => {
    const want = floatsOf((packed as Packed).b64!)
    return numbersOf(answer[name]!).every((value, i) => Math.abs(value - want[i]!) <= atol)
  })
}

/** A detector of speech that carries its state from frame to frame. */
async function speech(session: Session, { audio, frame = 512, context = 0, speech_prob = [] }: Vectors) {
  const pcm = new Int16Array(Uint8Array.from(readFileSync(pathOf(audio!))).buffer)
  const state: Tensors = {}
  for (const { name, shape } of session.inputs.filter(({ name }) => ['h', 'c', 'state'].includes(name))) {
    const dims = shape.map((size) => (typeof size === 'number' ? size : 1))
    state[name] = session.tensor('float32', dims, new Float32Array(dims.reduce((a, b) => a * b, 1)))
  }
  const rate = session.tensor('int64', [], BigInt64Array.of(16_000n))
  let before = new Float32Array(context)
  let agreed = 0
  for (const [index, want] of speech_prob.entries()) {
    const samples = Float32Array.from(
      pcm.subarray(index * frame, (index + 1) * frame),
      (value) => value / 32_768,
    )
    const fed = Float32Array.from([...before, ...samples])
    const input = session.tensor('float32', [1, fed.length], fed)
    const names = session.outputs.map(({ name }) => name)
    const answer = await session.run({ input, sr: rate, ...state }, names)
    for (const name of Object.keys(state)) state[name] = answer[`${name}n`] ?? answer[`${name}N`]!
    before = samples.subarray(frame - context)
    if (Math.abs(numbersOf(answer['output']!)[0]! - want) <= 1e-3) agreed++
  }
  return { agreed, total: speech_prob.length }
}

function argmax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values))
}
