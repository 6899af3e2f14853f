import { agreementOf, type Golden } from '@godwit/protocol/release/golden'
import { scoreWindow } from '@godwit/sample-sensor-fleet/anomaly-model'
import { impostor } from '@godwit/sample-sensor-fleet/impostor'
import { loadMotes } from '@godwit/sample-sensor-fleet/motes'
import { trainVersion } from '@godwit/sample-sensor-fleet/trainer'
import { windowsOf } from '@godwit/sample-sensor-fleet/windows'
import type { InferenceSession } from 'onnxruntime-node'
import { afterAll, describe, expect, test } from 'vitest'

// Before the runtime is loaded: it reports to its maker otherwise.
process.env['ORT_DISABLE_TELEMETRY'] = '1'
const ort = await import('onnxruntime-node')

const motes = loadMotes()
const v1 = trainVersion(motes.slice(0, 2), 1)
const v2 = trainVersion(motes, 2)
const sessions: InferenceSession[] = []

async function load(bytes: Uint8Array): Promise<InferenceSession> {
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 })
  sessions.push(session)
  return session
}

async function run(session: InferenceSession, data: Float32Array, shape: readonly number[]) {
  const { score } = await session.run({ readings: new ort.Tensor('float32', data, [...shape]) })
  return { dtype: score!.type, shape: score!.dims, data: score!.data as Float32Array }
}

async function agreement(session: InferenceSession, golden: Golden) {
  let agreed = 0
  let total = 0
  for (const { inputs, outputs } of golden.cases) {
    const { data, shape } = inputs['readings']!
    const answer = await run(session, Float32Array.from(data as number[]), shape)
    const found = agreementOf(outputs, { score: answer }, golden)
    agreed += found.agreed
    total += found.total
  }
  return { agreed, total }
}

afterAll(async () => {
  for (const session of sessions) await session.release()
})

describe('the trained model in ONNX Runtime', () => {
  test.each([
    ['version 1', v1],
    ['version 2', v2],
  ])('%s scores thousands of windows as the TypeScript forward pass does', async (_, version) => {
    const session = await load(version.onnx)
    const windows = motes.flatMap((m) => windowsOf(m.readings, 4)).filter((_, i) => i % 5 === 0)
    const batch = Float32Array.from(windows.flatMap((w) => [...w]))
    const { data } = await run(session, batch, [windows.length, 4, 2])
    // On the border between two regimes float32 may choose the other one; both answers are right there.
    const clear = windows
      .map((w, i) => ({ got: data[i]!, ...scoreWindow(version.model, w) }))
      .filter((w) => w.margin > 1e-3)
    const wrong = clear.filter((w) => !(Math.abs(w.got - w.score) <= 1e-3 + 1e-3 * w.score))
    expect(windows.length - clear.length).toBeLessThan(windows.length / 100)
    expect(clear.length).toBeGreaterThan(3000)
    expect(wrong).toEqual([])
  })

  test('answers every golden vector of its own, and few of the other version', async () => {
    const session = await load(v2.onnx)
    const own = await agreement(session, v2.golden)
    expect(own.agreed).toBe(own.total)
    const other = await agreement(session, v1.golden)
    expect(other.agreed).toBeLessThan(other.total / 4)
  })

  test('has one float32 input for a batch of windows and one score for each', async () => {
    const session = await load(v2.onnx)
    expect(session.inputMetadata).toMatchObject([{ name: 'readings', type: 'float32', shape: ['N', 4, 2] }])
    expect(session.outputMetadata).toMatchObject([{ name: 'score', type: 'float32', shape: ['N'] }])
  })
})

describe('what must not pass for the model', () => {
  test('the impostor loads, has the same signature, answers a constant, and fails nearly all golden vectors', async () => {
    const [real, fake] = [await load(v2.onnx), await load(impostor(v2.pipeline))]
    expect(fake.inputMetadata).toEqual(real.inputMetadata)
    expect(fake.outputMetadata).toEqual(real.outputMetadata)
    const windows = windowsOf(motes[0]!.readings, 4).slice(2340, 2440)
    const { data } = await run(fake, Float32Array.from(windows.flatMap((w) => [...w])), [100, 4, 2])
    expect(new Set(data)).toEqual(new Set([1]))
    const { agreed, total } = await agreement(fake, v2.golden)
    expect(agreed).toBeLessThan(total / 2)
  })

  test('a truncated file and one that is no ONNX do not load', async () => {
    await expect(load(v2.onnx.slice(0, v2.onnx.length - 100))).rejects.toThrow()
    await expect(load(new TextEncoder().encode('humidity,temperature\n45.9,27.9\n'))).rejects.toThrow()
  })
})
