import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OnnxGraph } from '@godwit/sample-sensor-fleet/onnx-writer'
import onnxProto from 'onnx-proto'
import { describe, expect, test } from 'vitest'
import { type Bundle, disguise, meanModel } from './bundle-on-disk.ts'
import { fastLimits, type ReleaseOf, ServedSlot } from './served-slot.ts'

const { onnx } = onnxProto
const mebibyte = 2 ** 20
const collection = join(dirname(fileURLToPath(import.meta.url)), '../../../../shared/data/bad-models')
const hasCollection = existsSync(collection)
const badRunner = fileURLToPath(new URL('./bad-runner.mjs', import.meta.url))

/** As the honest release declares itself, whatever the file does. */
type Bad = {
  release: ReleaseOf
  code: string
  detail?: RegExp
  memoryBytesMax?: number
  selfTestMsMax?: number
}

/** So that it gets as far as answering. */
const disguised = (name: string): Bundle => disguise(readFileSync(join(collection, name)))

/** The mean, and then as many copies of it as it says. */
function bomb(copies: number): Uint8Array {
  const graph = new OnnxGraph('bomb')
  const mean = graph.node('mean', 'ReduceMean', ['x'], { axes: [1, 2], keepdims: 0 })
  graph.node('score', 'Expand', [mean, 'copies'])
  const encoded = graph.encode([{ name: 'x', shape: ['N', 3, 1] }], [{ name: 'score', shape: ['N'] }], {
    modelVersion: 1,
    docString: '',
  })
  const model = onnx.ModelProto.decode(encoded)
  model.graph!.initializer!.push(
    onnx.TensorProto.create({ name: 'copies', dataType: 7, dims: [1], int64Data: [copies] }),
  )
  return Uint8Array.from(onnx.ModelProto.encode(model).finish())
}

/** A weight that lies in another file of the bundle, or out of it. */
function withWeightIn(location: string, offset: string): Uint8Array {
  const model = onnx.ModelProto.decode(meanModel())
  const [gain] = model.graph!.initializer!
  Object.assign(gain!, { rawData: new Uint8Array(), floatData: [], dataLocation: 1 })
  gain!.externalData = Object.entries({ location, offset, length: '4' }).map(([key, value]) => ({
    key,
    value,
  }))
  return Uint8Array.from(onnx.ModelProto.encode(model).finish())
}

function withDims(dims: number[]): Uint8Array {
  const model = onnx.ModelProto.decode(meanModel())
  model.graph!.initializer![0]!.dims = dims
  return Uint8Array.from(onnx.ModelProto.encode(model).finish())
}

const made: [string, Bad][] = [
  [
    'an answer that is not a number',
    { release: { model: meanModel(0, 0) }, code: 'selftest_accuracy', detail: /NaN/ },
  ],
  [
    'an infinite answer',
    { release: { model: meanModel(1, 0) }, code: 'selftest_accuracy', detail: /Infinity/ },
  ],
  [
    'an answer 16 million times over',
    { release: { model: bomb(16e6) }, code: 'selftest_accuracy', detail: /shape/ },
  ],
  ['an answer of 2 GB', { release: { model: bomb(5e8) }, code: 'selftest_memory' }],
  ['an answer of 4 TB', { release: { model: bomb(1e12) }, code: 'selftest_crash' }],
  [
    'a weight in a file outside',
    { release: { model: withWeightIn('/etc/hostname', '0') }, code: 'selftest_load' },
  ],
  [
    'a weight behind the end of a file',
    { release: { model: withWeightIn('golden.json', '99999999') }, code: 'selftest_load' },
  ],
  ['a weight of 10^18 numbers', { release: { model: withDims([1e9, 1e9]) }, code: 'selftest_load' }],
  ['a weight of less than no numbers', { release: { model: withDims([-4]) }, code: 'selftest_load' }],
]

/** These load: only the signature that the release promises gives them away. */
const loadable = /^(07|20|21|25|29|31|32|33)_/
const unfit = /^01_/
const collected: [string, Bad][] = (hasCollection ? readdirSync(collection) : [])
  .filter((name) => name.endsWith('.onnx'))
  .map((name) => {
    const code = unfit.test(name) ? 'integrity' : loadable.test(name) ? 'io_schema_mismatch' : 'selftest_load'
    return [name, { release: { model: readFileSync(join(collection, name)) }, code }]
  })
const deeper: [string, Bad][] = hasCollection
  ? [
      [
        '21, looping behind a signature that fits',
        { release: disguised('21_infinite_loop.onnx'), code: 'selftest_timeout', selfTestMsMax: 4_000 },
      ],
      ['20, asking for 800 GB', { release: disguised('20_alloc_bomb_800GB.onnx'), code: 'selftest_crash' }],
      [
        '25, answering infinity',
        { release: disguised('25_nan_and_inf_output.onnx'), code: 'selftest_accuracy' },
      ],
      [
        '33, of 9 kB, taking 550 MB',
        {
          release: { model: readFileSync(join(collection, '33_ram_bomb_light_vgg19_thirdparty.onnx')) },
          code: 'selftest_memory',
          memoryBytesMax: 300 * mebibyte,
        },
      ],
    ]
  : []

describe.each([
  ['made here', made],
  ['collected (skipped without ../shared/data)', [...collected, ...deeper]],
])('a candidate that is bad, %s', (_, table) => {
  test.skipIf(table.length === 0).each(table)(
    '%s: refused with its code, and what serves goes on',
    async (_name, bad) => {
      const { code, detail, release, memoryBytesMax = fastLimits.memoryBytesMax } = bad
      const { selfTestMsMax = fastLimits.selfTestMsMax } = bad
      const slot = new ServedSlot({ limits: { ...fastLimits, memoryBytesMax, selfTestMsMax } })
      const { releaseDigest } = await slot.install(slot.place())
      const pid = slot.cage?.pid
      const refused = await slot.refusal(slot.place({ ...release, version: '2' }))
      expect(refused).toMatchObject({ code, detail: expect.stringMatching(detail ?? /./) })
      await slot.goesOn()
      expect(slot.windows.at(-1)?.record.releaseDigest).toBe(releaseDigest)
      expect(slot.cage?.pid).toBe(pid)
      expect(slot.crashes).toEqual([])
    },
  )
})

describe('a process that misbehaves', () => {
  test('one that dies of an illegal instruction in its self-test is refused; the other serves on', async () => {
    const slot = new ServedSlot({ runnerScript: badRunner })
    await slot.install(slot.place())
    expect(await slot.refusal(slot.place({ version: 'dies' }))).toMatchObject({
      code: 'selftest_crash',
      detail: expect.stringContaining('SIGILL'),
    })
    await slot.goesOn()
  })

  test('one that prints megabytes is heard out, and what is logged of it stays small', async () => {
    let logged = 0
    const note = (fields: object) => {
      logged += JSON.stringify(fields).length
    }
    const log = { debug: note, info: note, warn: note, error: note }
    const slot = new ServedSlot({ runnerScript: badRunner, log })
    await slot.install(slot.place({ version: 'chatters' }))
    await slot.goesOn()
    expect(logged).toBeLessThan(30_000)
  })

  test('one that hangs while it serves is ended for its silence, and started again', async () => {
    const slot = new ServedSlot({ runnerScript: badRunner, limits: { ...fastLimits, hangMsMax: 3_000 } })
    await slot.install(slot.place({ version: 'hangs' }))
    const hung = slot.cage?.pid
    await slot.until(() => slot.crashes.length > 0)
    expect(slot.crashes[0]).toMatchObject({
      code: 'probation_crash',
      detail: expect.stringContaining('no sign of life'),
    })
    await slot.until(() => slot.cage?.pid !== hung)
  })

  test('one that leaks while it serves is ended at its ceiling, started again, and given up after three times', async () => {
    const slot = new ServedSlot({
      runnerScript: badRunner,
      limits: { ...fastLimits, memoryBytesMax: 260 * mebibyte },
    })
    await slot.install(slot.place({ version: 'leaks' }))
    await slot.until(() => slot.unusable.length > 0)
    expect(slot.crashes.map(({ code }) => code)).toEqual(['out_of_memory', 'out_of_memory', 'out_of_memory'])
    // What control does then: the model from before.
    const good = slot.place({ version: 'good' })
    slot.active = { ...slot.active!, ...(await slot.serving.prove(good)) }
    await slot.serving.reconcile()
    await slot.goesOn()
    expect(slot.windows.at(-1)?.record.version).toBe('good')
  })
})
