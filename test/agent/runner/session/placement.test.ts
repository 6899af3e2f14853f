import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { preflight, preflightModel } from '@godwit/agent/runner/preflight'
import { nodesOn, openNative } from '@godwit/agent/runner/session/native'
import { nodesIn, providerNamed } from '@godwit/agent/runner/session/placement'
import { isPlacedOn } from '@godwit/agent/runner/session/providers'
import { openWasm } from '@godwit/agent/runner/session/wasm'
import onnxProto from 'onnx-proto'
import { beforeAll, describe, expect, test } from 'vitest'
import { meanGolden, meanModel, stage } from '../bundle-on-disk.ts'

beforeAll(() => {
  process.env['ORT_DISABLE_TELEMETRY'] = '1'
})

/** As ONNX Runtime writes them; names of its providers are those in its library. */
const event = (provider: string, operator: string, name = 'n_kernel_time') => ({
  cat: 'Node',
  name,
  args: { provider, op_name: operator },
})

describe('where a model ran', () => {
  test('the real profiler tells for every node of a real run, and leaves no file', async () => {
    // By 2 and by 3: what changes nothing would be taken out of the graph.
    const { directory } = stage({ model: meanModel(2, 3) })
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('godwit-profile-'))
    const nodes = await nodesOn(`${directory}/model.onnx`, 'cpu', 1, meanGolden.cases[0])
    expect(nodes).toEqual({ cpu: 3 })
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('godwit-profile-'))).toEqual(before)
  })

  test('a split graph is counted by provider, copies between devices left out', () => {
    const profile = JSON.stringify([
      { cat: 'Session', name: 'model_run', args: {} },
      event('CUDAExecutionProvider', 'Conv'),
      event('CUDAExecutionProvider', 'Gemm'),
      event('CUDAExecutionProvider', 'MemcpyToHost'),
      event('CUDAExecutionProvider', 'Conv', 'n_fence_before'),
      event('CPUExecutionProvider', 'NonMaxSuppression'),
    ])
    expect(nodesIn(profile)).toEqual({ cuda: 2, cpu: 1 })
    expect(isPlacedOn(nodesIn(profile), 'cuda')).toBe(true)
    expect(isPlacedOn({ cpu: 12 }, 'webgpu')).toBe(false)
  })

  test.each(['CUDA', 'Tensorrt', 'Dml', 'CoreML', 'WebGpu', 'CPU'])(
    '%s is known by the name it is asked by',
    (name) => {
      expect(['cuda', 'tensorrt', 'dml', 'coreml', 'webgpu', 'cpu']).toContain(
        providerNamed(`${name}ExecutionProvider`),
      )
    },
  )
})

describe('preflight', () => {
  test('is a convolution and a product, small enough to read', () => {
    const { graph } = onnxProto.onnx.ModelProto.decode(preflightModel)
    const operators = graph!.node!.map(({ opType }) => opType)
    expect(operators).toEqual(['ConstantOfShape', 'Conv', 'Flatten', 'ConstantOfShape', 'MatMul', 'Relu'])
  })

  test('passes on both engines, and notices one that answers wrong', async () => {
    await preflight(openNative)
    await preflight(openWasm)
    const wrong: typeof openNative = async (...order) => {
      const opened = await openNative(...order)
      if (!opened.ok) return opened
      const { value } = opened
      const run = async () => ({ y: value.tensor('float32', [1, 16], new Float32Array(16).fill(323)) })
      return {
        ok: true,
        value: { ...value, tensor: value.tensor.bind(value), run, release: () => value.release() },
      }
    }
    await expect(preflight(wrong)).rejects.toThrow('expected 16 times 324')
  })
})
