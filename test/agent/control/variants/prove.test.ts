import { fileURLToPath } from 'node:url'
import type { ServingDeps } from '@godwit/agent/control/serving'
import { describe, expect, test } from 'vitest'
import { meanModel } from '../../runner/bundle-on-disk.ts'
import { fastLimits, ServedSlot } from '../../runner/served-slot.ts'

const fakeRunner = fileURLToPath(new URL('../support/fake-runner.mjs', import.meta.url))

/** Variants of the runner that does as its "model file" says. */
function fake(change: Partial<ServingDeps> = {}) {
  const slot = new ServedSlot({
    runnerScript: fakeRunner,
    limits: { ...fastLimits, selfTestMsMax: 3_000 },
    ...change,
  })
  const variant = (name: string, behaviour: object, executionProviders = ['cpu']) => ({
    name,
    model: new TextEncoder().encode(JSON.stringify(behaviour)),
    executionProviders,
  })
  return { slot, variant }
}

describe('a release of several variants', () => {
  test('the fastest that passes serves, and the report has the figures of all', async () => {
    const { slot, variant } = fake()
    const variants = [
      variant('fp32', { p95Micros: 900 }),
      variant('int8', { p95Micros: 300 }),
      variant('int4', { p95Micros: 20, test: 'wrong' }),
      variant('gpu', {}, ['cuda']),
    ]
    const active = await slot.install(slot.place({ variants, promises: { p95Micros: 5_000 } }))
    expect(active).toMatchObject({ variant: 'int8', executionProvider: 'cpu', choice: { by: 'latency' } })
    expect(active.choice?.why).toBe('int8 on cpu: latency 300 µs, against fp32 on cpu 900 µs')
    expect(active.choice?.trials).toMatchObject([
      { variant: 'fp32', code: 'ok', p95Micros: 900, memoryBytes: 1_000 },
      { variant: 'int8', code: 'ok', p95Micros: 300 },
      { variant: 'int4', code: 'selftest_accuracy', detail: '0 of 8 agree' },
    ])
    expect(slot.windows.at(-1)?.record.version).toBe('1')
  })

  test('one that crashes, hangs or is slower than promised counts against itself only', async () => {
    const { slot, variant } = fake()
    const variants = [
      variant('crashes', { load: 'crash' }),
      variant('segfaults', { test: 'crash' }),
      variant('hangs', { test: 'hang' }),
      variant('slow', { p95Micros: 2_000 }),
      variant('good', { p95Micros: 900 }),
    ]
    const active = await slot.install(slot.place({ variants, promises: { p95Micros: 1_000 } }))
    expect(active).toMatchObject({ variant: 'good', choice: { by: 'only' } })
    expect(active.choice?.trials.map(({ code }) => code)).toEqual([
      'selftest_crash',
      'selftest_crash',
      'selftest_timeout',
      'selftest_latency',
      'ok',
    ])
  })

  test('when none passes, the first says why, and the words say it of each', async () => {
    const { slot, variant } = fake()
    const variants = [variant('fp32', { test: 'wrong' }), variant('int8', { load: 'fail' })]
    expect(await slot.refusal(slot.place({ variants }))).toEqual({
      code: 'selftest_accuracy',
      detail: 'fp32 on cpu: selftest_accuracy, 0 of 8 agree; int8 on cpu: selftest_load, no model',
    })
  })

  test('what this device lacks is on record, and where it lacks everything the release is refused', async () => {
    const { slot, variant } = fake({ executionProviders: ['cuda', 'cpu'] })
    const active = await slot.install(slot.place({ variants: [variant('fp32', {}, ['cuda', 'cpu'])] }))
    expect(active).toMatchObject({ variant: 'fp32', executionProvider: 'cpu', choice: { by: 'only' } })
    expect(active.choice?.trials.at(-1)).toMatchObject({ executionProvider: 'cuda', code: 'unsupported_ep' })
    const gpuOnly = slot.place({ version: '2', variants: [variant('fp32', {}, ['cuda'])] })
    expect(await slot.refusal(gpuOnly)).toMatchObject({ code: 'unsupported_ep' })
  })

  test('by order, the first that passes is taken and the rest not tried', async () => {
    const { slot, variant } = fake({ prefer: 'order' })
    const variants = [variant('a', { test: 'wrong' }), variant('b', { p95Micros: 900 }), variant('c', {})]
    const active = await slot.install(slot.place({ variants }))
    expect(active).toMatchObject({ variant: 'b', choice: { by: 'order' } })
    expect(active.choice?.trials.map(({ variant: name }) => name)).toEqual(['a', 'b'])
  })

  test('a proof that nobody wants any more ends at once and leaves no process', async () => {
    const { slot, variant } = fake({ limits: { ...fastLimits, selfTestMsMax: 120_000 } })
    await slot.install(slot.place({ variants: [variant('v1', {})] }))
    const leaving = new AbortController()
    const hanging = slot.place({ version: '2', variants: [variant('v2', { test: 'hang' })] })
    const proof = slot.serving.prove(hanging, leaving.signal)
    await slot.goesOn()
    leaving.abort(new Error('superseded'))
    await expect(proof).rejects.toThrow('superseded')
    expect(slot.serving.holdsCandidate(hanging)).toBe(false)
    await slot.goesOn()
  })
})

describe('a choice', () => {
  test('is kept while nothing has changed, and is made again when something has', async () => {
    const { slot, variant } = fake()
    const variants = [variant('fp32', { p95Micros: 900 }), variant('int8', { p95Micros: 300 })]
    const digest = slot.place({ variants })
    const first = await slot.install(digest)
    expect((await slot.serving.prove(digest)).choice).toEqual(first.choice)
    await slot.serving.discardCandidate()

    // As after an update of the runtime: what serves was chosen with another one.
    slot.active = { ...first, variant: 'fp32', choice: { ...first.choice!, measuredOn: 'another runtime' } }
    await slot.serving.reconcile()
    await slot.until(() => slot.provenAgain.length > 0)
    expect(slot.provenAgain).toMatchObject([
      { variant: 'int8', choice: { measuredOn: first.choice!.measuredOn } },
    ])
    await slot.goesOn()
    expect(slot.active).toMatchObject({ variant: 'int8' })
    expect(slot.crashes).toEqual([])
  })

  test('that cannot be proven again is an alarm, and what serves goes on', async () => {
    const { slot, variant } = fake()
    const good = await slot.install(slot.place({ variants: [variant('v', {})] }))
    const releaseDigest = slot.place({ version: '2', variants: [variant('v', { test: 'wrong' })] })
    slot.active = { ...good, releaseDigest, choice: { ...good.choice!, measuredOn: 'another runtime' } }
    await slot.serving.reconcile()
    await slot.until(() => slot.unproven.length > 0)
    expect(slot.unproven).toMatchObject([{ code: 'selftest_accuracy' }])
    await slot.goesOn()
    expect(slot.windows.at(-1)?.record.releaseDigest).toBe(releaseDigest)
  })
})

describe('with a real runtime', () => {
  test('an execution provider that is gone gives way to the next of the policy, and the report says which ran', async () => {
    const slot = new ServedSlot({ executionProviders: ['cuda', 'cpu'] })
    const variants = [{ name: 'fp32', model: meanModel(), executionProviders: ['cuda', 'cpu'] }]
    const active = await slot.install(slot.place({ variants }))
    expect(active).toMatchObject({ executionProvider: 'cpu' })
    // As after a driver was removed.
    await slot.cage?.kill()
    slot.active = { ...active, executionProvider: 'cuda' }
    await slot.serving.reconcile()
    await slot.goesOn()
    expect(slot.active.executionProvider).toBe('cpu')
  })

  test('figures are those of this machine: time, CPU and memory of every variant that passed', async () => {
    const slot = new ServedSlot()
    const variants = [
      { name: 'one', model: meanModel() },
      { name: 'two', model: meanModel(0) },
      { name: 'three', model: meanModel(2, 2) },
    ]
    const { choice, variant } = await slot.install(slot.place({ variants }))
    expect(['one', 'three']).toContain(variant)
    expect(choice?.trials.map(({ code }) => code)).toEqual(['ok', 'selftest_accuracy', 'ok'])
    for (const { p50Micros, p95Micros, cpuMicros, memoryBytes } of choice!.trials.filter(
      ({ code }) => code === 'ok',
    )) {
      expect(p95Micros).toBeGreaterThanOrEqual(p50Micros!)
      expect(cpuMicros).toBeGreaterThan(0)
      expect(memoryBytes).toBeGreaterThan(30e6)
    }
  })

  test('the wasm engine serves what is made for the CPU, judged by the same vectors, and is named', async () => {
    const slot = new ServedSlot({ engineName: 'wasm' })
    expect(await slot.refusal(slot.place({ version: '0', model: meanModel(0) }))).toMatchObject({
      code: 'selftest_accuracy',
    })
    expect(await slot.install(slot.place())).toMatchObject({
      executionProvider: 'wasm',
      choice: { by: 'only' },
    })
    expect(slot.cage?.runtime).toMatchObject({ name: 'onnxruntime-web', executionProviders: ['wasm'] })
    await slot.goesOn()
    expect(slot.windows.at(-1)?.record.errors).toBe(0)
  })
})
