import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { selfTest } from '@godwit/agent/runner/self-test'
import { digestOf } from '@godwit/agent/runner/session/digest'
import { openNative } from '@godwit/agent/runner/session/native'
import { providersToTry, usableProviders } from '@godwit/agent/runner/session/providers'
import type { Session } from '@godwit/agent/runner/session/session'
import { signatureMisfits } from '@godwit/agent/runner/session/signature'
import { answerOf, bytesOf, feedOf } from '@godwit/agent/runner/session/tensors'
import type { Golden, GoldenCase } from '@godwit/protocol/release/golden'
import { beforeAll, describe, expect, test } from 'vitest'
import { ManualClock } from '../manual-clock.ts'

const data = join(dirname(fileURLToPath(import.meta.url)), '../../../../../shared/data')

beforeAll(() => {
  process.env['ORT_DISABLE_TELEMETRY'] = '1'
})

describe('execution providers', () => {
  const listed = ['cpu', 'webgpu', 'cuda'].map((name) => ({ name, bundled: name !== 'cuda' }))

  test('one whose library or device is not there is never asked for', () => {
    const none = usableProviders(
      listed,
      'linux',
      () => false,
      () => false,
    )
    expect(providersToTry(['cuda', 'webgpu', 'cpu'], none)).toEqual(['cpu'])
  })

  test('those that are there keep the order in which they were asked for', () => {
    const isCuda = (library: string) => library === 'libonnxruntime_providers_cuda.so'
    const all = usableProviders(listed, 'linux', isCuda, () => true)
    expect(providersToTry(['cuda', 'cpu', 'cuda', 'npu'], all)).toEqual(['cuda', 'cpu'])
  })
})

describe('signature of a model', () => {
  const io = {
    inputs: [{ name: 'x', dtype: 'float32' as const, shape: ['N', 4] }],
    outputs: [{ name: 'y', dtype: 'int64' as const, shape: [1] }],
  }

  test('free dimensions fit any number, and an unknown shape fits too', () => {
    const model = {
      inputs: [{ ...io.inputs[0]!, shape: [1, 4] }],
      outputs: [{ ...io.outputs[0]!, shape: [] }],
    }
    expect(signatureMisfits(io, model)).toEqual([])
  })

  test('another name, type or number is told with what was expected', () => {
    const model = {
      inputs: [{ ...io.inputs[0]!, shape: ['N', 5] }],
      outputs: [{ ...io.outputs[0]!, name: 'z' }],
    }
    expect(signatureMisfits(io, model)).toEqual([
      'input is x: float32[N, 5], expected x: float32[N, 4]',
      'output z: int64[1] is not expected',
      'output y: int64[1] is missing',
    ])
  })
})

test('booleans come back as booleans, and bytes are those of the answer', () => {
  expect(answerOf({ type: 'bool', dims: [2], data: Uint8Array.of(1, 0) }).data).toEqual([true, false])
  expect([...bytesOf({ type: 'float32', dims: [1], data: Float32Array.of(1) })]).toEqual([0, 0, 128, 63])
  expect([...bytesOf({ type: 'string', dims: [2], data: ['a', 'ü'] })]).toEqual([97, 195, 188])
})

describe.skipIf(!existsSync(data))('published models (skipped without ../shared/data)', () => {
  type Packed = Record<string, { dtype: 'float32'; shape: number[]; b64: string }>
  type Tensors = GoldenCase['inputs']

  function casesOf(model: string): { inputs: Tensors; expect: Packed }[] {
    const { cases } = JSON.parse(readFileSync(join(data, `models/${model}.vectors.json`), 'utf8'))
    return cases.map((one: { inputs: Packed; expect: Packed }) => ({ ...one, inputs: unpacked(one.inputs) }))
  }

  function unpacked(tensors: Packed): Tensors {
    const floats = (b64: string) => [...new Float32Array(Uint8Array.from(Buffer.from(b64, 'base64')).buffer)]
    // Tolerances and notes stand beside the tensors.
    const entries = Object.entries(tensors).filter(([, tensor]) => typeof tensor.b64 === 'string')
    return Object.fromEntries(
      entries.map(([name, { dtype, shape, b64 }]) => [name, { dtype, shape, data: floats(b64) }]),
    )
  }

  async function opened(path: string): Promise<Session> {
    const session = await openNative(join(data, path), ['cpu'], 1)
    if (!session.ok) throw new Error(session.detail)
    return session.value
  }

  async function examined(path: string, cases: GoldenCase[]) {
    const session = await opened(path)
    const golden: Golden = { format: 'godwit-golden/1', atol: 1e-4, rtol: 1e-4, minAgree: 1, cases }
    const loadedDigest = await digestOf(join(data, path))
    const about = {
      cpuMicros: () => 0,
      proofNonce: 'n',
      loadedDigest,
      clock: new ManualClock(),
      rssBytes: () => 0,
    }
    const result = await selfTest({ session, golden, ...about })
    await session.release()
    return result
  }

  /** What the honest model answers; its labels are those of the pictures. */
  async function honestAnswers(): Promise<GoldenCase[]> {
    const session = await opened('models/mnist-cntk.onnx')
    const cases: GoldenCase[] = []
    for (const { inputs } of casesOf('mnist-cntk.onnx').slice(0, 8)) {
      const feeds = { Input3: feedOf(session, inputs['Input3']!) }
      const answer = await session.run(feeds, ['Plus214_Output_0'])
      const output = {
        dtype: 'float32' as const,
        shape: [1, 10],
        data: Array.from(answer['Plus214_Output_0']!.data, Number),
      }
      cases.push({ inputs, outputs: { Plus214_Output_0: output } })
    }
    await session.release()
    return cases
  }

  test('one that detects machine noise agrees with the answers published with it', async () => {
    const cases = casesOf('mlperf-tiny-ad01_fp32.onnx').map((one) => ({
      ...one,
      outputs: unpacked(one.expect),
    }))
    const result = await examined('models/mlperf-tiny-ad01_fp32.onnx', cases)
    expect(result).toMatchObject({ ok: true, value: { total: 640 * cases.length } })
  })

  test('an impostor with the same signature is found out by the answers of the honest one', async () => {
    const cases = await honestAnswers()
    expect(await examined('models/mnist-cntk.onnx', cases)).toMatchObject({ ok: true })
    const impostor = await examined('bad-models/31_impostor_same_signature_constant_class.onnx', cases)
    expect(impostor).toMatchObject({ ok: false, code: 'selftest_accuracy' })
  })

  test('a flipped bit may answer as the honest one does; its digest gives it away', async () => {
    expect(await examined('bad-models/07_bitflip_in_weights.onnx', await honestAnswers())).toMatchObject({
      ok: true,
    })
    const digests = ['models/mnist-cntk.onnx', 'bad-models/07_bitflip_in_weights.onnx'].map((path) =>
      digestOf(join(data, path)),
    )
    const [honest, flipped] = await Promise.all(digests)
    expect(flipped).not.toBe(honest)
  })
})
