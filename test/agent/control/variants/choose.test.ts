import { choose } from '@godwit/agent/control/variants/choose'
import { brokenPromise } from '@godwit/agent/control/variants/examine'
import { hasVariantFor, pairsOf } from '@godwit/agent/control/variants/pairs'
import type { Trial } from '@godwit/protocol/messages/report'
import { describe, expect, test } from 'vitest'

const trial = (variant: string, figures: Partial<Trial> = {}): Trial => ({
  variant,
  executionProvider: 'cpu',
  code: 'ok',
  ...figures,
})

describe('choosing between variants that were tried', () => {
  test('the fastest of those that pass, however fast one that does not', () => {
    const trials = [
      trial('fp32', { p50Micros: 900 }),
      trial('int8', { p50Micros: 300 }),
      trial('int4', { p50Micros: 10, code: 'selftest_accuracy' }),
    ]
    expect(choose(trials, 'latency')).toEqual({
      index: 1,
      by: 'latency',
      why: 'int8 on cpu: latency 300 µs, against fp32 on cpu 900 µs',
    })
  })

  test('what lies within five percent is the same, and then the order decides', () => {
    const trials = [trial('fp32', { p50Micros: 104 }), trial('int8', { p50Micros: 100 })]
    expect(choose(trials, 'latency')).toMatchObject({ index: 0, why: expect.stringContaining('comes first') })
    expect(choose([trials[1]!, trial('fp32', { p50Micros: 106 })], 'latency')).toMatchObject({ index: 0 })
  })

  test('the smallest, where memory is what the slot is short of', () => {
    const trials = [trial('fp32', { memoryBytes: 90e6, p50Micros: 1 }), trial('int8', { memoryBytes: 60e6 })]
    expect(choose(trials, 'memory')).toMatchObject({ index: 1, by: 'memory' })
  })

  const metered = { energyLabel: 'measured', energySource: 'rapl psys' } as const
  const thirsty = trial('fp32', { energyMicrojoules: 800, cpuMicros: 10, p50Micros: 5, ...metered })
  const thrifty = trial('int8', { energyMicrojoules: 200, cpuMicros: 20, p50Micros: 9, ...metered })

  test('the thriftiest by joules where one meter saw them all', () => {
    expect(choose([thirsty, thrifty], 'energy')).toMatchObject({ index: 1, by: 'energy' })
  })

  test('by CPU time where joules are not there for all, and by latency where that says nothing either', () => {
    const { energyMicrojoules: _, ...unmetered } = thrifty
    expect(choose([thirsty, unmetered], 'energy')).toMatchObject({ index: 0, by: 'cpu' })
    expect(choose([thirsty, { ...thrifty, energySource: 'ina main' }], 'energy')).toMatchObject({ by: 'cpu' })
    const onGpu = { ...unmetered, executionProvider: 'cuda' }
    expect(choose([thirsty, onGpu], 'energy')).toMatchObject({ index: 0, by: 'latency' })
  })

  test('the first that passes, where the order is the policy', () => {
    const trials = [
      trial('fp32', { code: 'selftest_crash' }),
      trial('int8', { p50Micros: 9 }),
      trial('q4', { p50Micros: 1 }),
    ]
    expect(choose(trials, 'order')).toMatchObject({ index: 1, by: 'order' })
  })

  test('one that is alone says so, and none is none', () => {
    expect(choose([trial('fp32')], 'latency')).toMatchObject({ by: 'only' })
    expect(choose([trial('fp32', { code: 'selftest_crash' })], 'latency')).toBeUndefined()
  })
})

describe('what a device may try of a release', () => {
  const variants = [
    { name: 'fp32', file: 'a.onnx', executionProviders: ['cuda', 'cpu'], precision: 'fp32' },
    { name: 'int8', file: 'b.onnx', executionProviders: ['cpu'], precision: 'int8' },
  ]
  const names = (eps: string[], engine: 'native' | 'wasm' = 'native') =>
    pairsOf({ variants }, eps, engine).map(
      ({ variant, executionProvider }) => `${variant.name} ${executionProvider}`,
    )

  test("the slot's order of providers first, the publisher's order of variants within", () => {
    expect(names(['cuda', 'cpu', 'cuda'])).toEqual(['fp32 cuda', 'fp32 cpu', 'int8 cpu'])
    expect(names(['cpu'])).toEqual(['fp32 cpu', 'int8 cpu'])
    expect(names(['coreml'])).toEqual([])
    expect(hasVariantFor({ variants }, ['coreml', 'cpu'])).toBe(true)
    expect(hasVariantFor({ variants }, ['webgpu'])).toBe(false)
  })

  test('the wasm engine stands in for the CPU and for nothing else', () => {
    expect(names(['cuda', 'cpu', 'wasm'], 'wasm')).toEqual(['fp32 cuda', 'fp32 wasm', 'int8 wasm'])
  })
})

describe("a release's promise of joules", () => {
  const promises = { energyMillijoules: 0.5 }
  const over = { energyMicrojoules: 600, energySource: 'rapl psys' }

  test('is broken by a figure that is measured, and by a modelled one only where the policy says so', () => {
    expect(brokenPromise({ ...over, energyLabel: 'measured' }, promises, 'measured')).toEqual({
      code: 'selftest_energy',
      detail: '0.6 mJ an inference (measured, rapl psys), promised 0.5 mJ',
    })
    expect(brokenPromise({ ...over, energyLabel: 'modelled' }, promises, 'measured')).toBeUndefined()
    expect(brokenPromise({ ...over, energyLabel: 'modelled' }, promises, 'modelled')).toMatchObject({
      code: 'selftest_energy',
    })
  })

  test('is kept at the limit, and is not judged without a figure', () => {
    expect(
      brokenPromise({ ...over, energyMicrojoules: 500, energyLabel: 'measured' }, promises, 'measured'),
    ).toBeUndefined()
    expect(brokenPromise({}, promises, 'modelled')).toBeUndefined()
  })

  test('time and memory are judged before it', () => {
    expect(brokenPromise({ p95Micros: 9 }, { p95Micros: 8 }, 'measured')).toMatchObject({
      code: 'selftest_latency',
    })
    expect(brokenPromise({ memoryBytes: 9 }, { memoryBytes: 8 }, 'measured')).toMatchObject({
      code: 'selftest_memory',
    })
  })
})
