import { writeFileSync } from 'node:fs'
import { openNative } from '@godwit/agent/runner/session/native'
import type { Session } from '@godwit/agent/runner/session/session'
import { openWasm, wasmRuntime } from '@godwit/agent/runner/session/wasm'
import onnxProto from 'onnx-proto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { meanModel, stage } from '../bundle-on-disk.ts'
import {
  agreement,
  hasPublishedModels,
  modelsWithout,
  modelsWithVectors,
  pathOf,
} from './published-models.ts'

const { onnx } = onnxProto

function withNamelessBatch(): Uint8Array {
  const model = onnx.ModelProto.decode(meanModel())
  model.graph!.input![0]!.type!.tensorType!.shape!.dim![0] = onnx.TensorShapeProto.Dimension.create({})
  return Uint8Array.from(onnx.ModelProto.encode(model).finish())
}

/** Nothing here may go and fetch anything. */
const fetched = vi.fn(() => Promise.reject(new Error('no network here')))

beforeAll(() => {
  process.env['ORT_DISABLE_TELEMETRY'] = '1'
  vi.stubGlobal('fetch', fetched)
})
afterAll(() => {
  vi.unstubAllGlobals()
})

const engines = { native: openNative, wasm: openWasm }

async function opened(engine: keyof typeof engines, path: string): Promise<Session> {
  const session = await engines[engine](path, ['cpu'], 1)
  if (!session.ok) throw new Error(session.detail)
  return session.value
}

test('the wasm engine comes from the disk, says what it is, and takes what is made for the CPU', async () => {
  expect(wasmRuntime()).toEqual({ name: 'onnxruntime-web', version: '1.27.0', executionProviders: ['wasm'] })
  const { directory, variant } = stage()
  const path = `${directory}/${variant.file}`
  expect((await opened('wasm', path)).executionProvider).toBe('wasm')
  expect(await openWasm(path, ['wasm'], 1)).toMatchObject({ ok: true })
  expect(await openWasm(path, ['cuda'], 1)).toMatchObject({ ok: false, code: 'unsupported_ep' })
  expect(fetched).not.toHaveBeenCalled()
})

test('a free dimension without a name is one on both engines', async () => {
  const { directory } = stage({ model: withNamelessBatch() })
  for (const engine of ['native', 'wasm'] as const)
    expect((await opened(engine, `${directory}/model.onnx`)).inputs[0]?.shape).toEqual(['', 3, 1])
})

test('what is no model is refused by both engines, and both go on', async () => {
  const { directory } = stage()
  for (const engine of ['native', 'wasm'] as const) {
    expect(await engines[engine](`${directory}/golden.json`, ['cpu'], 1)).toMatchObject({
      code: 'selftest_load',
    })
    expect((await opened(engine, `${directory}/model.onnx`)).outputs[0]?.name).toBe('score')
  }
})

test('weights in a file beside the model: native reads them, wasm refuses with a code and says which file', async () => {
  const model = onnx.ModelProto.decode(meanModel())
  const [gain] = model.graph!.initializer!
  Object.assign(gain!, { rawData: new Uint8Array(), floatData: [], dataLocation: 1 })
  gain!.externalData = Object.entries({ location: 'gain.bin', length: '4' }).map(([key, value]) => ({
    key,
    value,
  }))
  const { directory } = stage({ model: Uint8Array.from(onnx.ModelProto.encode(model).finish()) })
  writeFileSync(`${directory}/gain.bin`, new Uint8Array(Float32Array.of(1).buffer))
  const path = `${directory}/model.onnx`
  expect(await openNative(path, ['cpu'], 1)).toMatchObject({ ok: true })
  expect(await openWasm(path, ['cpu'], 1)).toMatchObject({
    ok: false,
    code: 'selftest_load',
    detail: expect.stringMatching(/gain\.bin/),
  })
})

/** Two of the sklearn model's published labels are its own errors. */
const known = { 'mnist-lr-sklearn.onnx': { agreed: 60, total: 62 } } as Record<string, unknown>

describe.skipIf(!hasPublishedModels)('published models (skipped without ../shared/data)', () => {
  for (const engine of ['native', 'wasm'] as const)
    test.each(modelsWithVectors)(`${engine}: %s gives the answers published with it`, async (model) => {
      const session = await opened(engine, pathOf(model))
      const { agreed, total } = await agreement(session, model)
      await session.release()
      expect({ agreed, total }).toEqual(known[model] ?? { agreed: total, total })
      expect(total).toBeGreaterThan(0)
    })

  /** Where weights are int8, the engines round in different places: seen 1.7 %, as far as int8 lies from fp32. */
  const toleranceOf = (model: string) => (model.includes('int8') ? 0.02 : 1e-4)

  test.each(modelsWithout)('%s answers the same on both engines', async (model) => {
    const [native, wasm] = [await opened('native', pathOf(model)), await opened('wasm', pathOf(model))]
    const feedsOf = (session: Session) =>
      Object.fromEntries(
        session.inputs.map(({ name, dtype, shape }) => {
          const dims = shape.map((size) => (typeof size === 'number' ? size : 1))
          const values = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i))
          return [name, session.tensor(dtype, dims, values)]
        }),
      )
    const names = native.outputs.map(({ name }) => name)
    const answers = [await native.run(feedsOf(native), names), await wasm.run(feedsOf(wasm), names)]
    for (const name of names) {
      const [a, b] = answers.map((answer) => Array.from(answer[name]!.data, Number))
      const scale = Math.max(1, ...a!.map(Math.abs))
      expect(b!.every((value, i) => Math.abs(value - a![i]!) <= toleranceOf(model) * scale)).toBe(true)
    }
    await Promise.all([native.release(), wasm.release()])
  })

  test('no engine has asked the network for anything', () => {
    expect(fetched).not.toHaveBeenCalled()
  })
})
