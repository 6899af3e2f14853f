import { describeFile } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type Bundle,
  bundleOf,
  identityGolden,
  identityModel,
  identityPipeline,
  publish,
} from '../support/bundle.ts'
import { type Box, newHub } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
})
afterEach(() => box.close())

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
async function mistakesOf(bundle: Bundle): Promise<string[]> {
  const verdict = await publish(box.hub, bundle)
  return verdict.published ? [] : verdict.mistakes.map(({ pointer = '', detail }) => `${pointer} ${detail}`)
}

test('a sound release enters, and is not listed yet', async () => {
  expect(await publish(box.hub, bundleOf())).toMatchObject({
    published: true,
    created: true,
    model: 'identity',
  })
  const version = await box.hub.services.registry.version('identity', '1')
  expect(version).toMatchObject({ releaseCounter: 1 })
  expect(version).not.toHaveProperty('listedAt')
})

test('the release document is a blob itself, so that a device can ask for it by digest', async () => {
  const bundle = bundleOf()
  const verdict = await publish(box.hub, bundle)
  const digest = (verdict as { releaseDigest: string }).releaseDigest
  expect(await box.hub.services.blobs.sizeOf(digest)).toBe(bundle.bytes.length)
})

test('the same release again is no mistake; another one under its name is', async () => {
  await publish(box.hub, bundleOf())
  expect(await publish(box.hub, bundleOf())).toMatchObject({ published: true, created: false })
  expect(await publish(box.hub, bundleOf({ note: 'other' }))).toMatchObject({
    published: false,
    because: 'version-exists',
  })
})

test('release counters only count up', async () => {
  await publish(box.hub, bundleOf({ releaseCounter: 5 }))
  expect(await mistakesOf(bundleOf({ version: '2', releaseCounter: 5 }))).toEqual([
    '#/releaseCounter releaseCounter 5: expected more than 5 of version 1',
  ])
})

test('of two releases with the same name at the same moment, one enters', async () => {
  const both = await Promise.all([
    publish(box.hub, bundleOf({ note: 'a' })),
    publish(box.hub, bundleOf({ note: 'b' })),
  ])
  expect(both.filter(({ published }) => published)).toHaveLength(1)
})

test('a file that was not uploaded is named', async () => {
  const { files, ...bundle } = bundleOf()
  expect(await mistakesOf({ ...bundle, files: files.slice(1) })).toEqual([
    expect.stringMatching(/^#\/files\/model\.onnx model\.onnx was not uploaded/),
  ])
})

test('a block list that does not fit the file is found before a device would find it', async () => {
  const bundle = bundleOf()
  const file = bundle.release.files['model.onnx']!
  const lying = bundleOf({
    files: { ...bundle.release.files, 'model.onnx': { ...file, blocks: ['0'.repeat(64)] } },
  })
  expect(await mistakesOf(lying)).toEqual([expect.stringContaining('model.onnx block 0 has SHA-256')])
})

const golden = (change: object) => {
  const [one] = identityGolden.cases
  return { 'golden.json': json({ ...identityGolden, cases: [{ ...one, ...change }] }) }
}
const tensor = { dtype: 'float32', shape: [1, 2, 2], data: [1, 2, 3, 4] }
const window = { name: 'window', dtype: 'float32' as const, shape: [1, 2, 2] }
const score = { name: 'score', dtype: 'float32' as const, shape: [1, 2, 2] }

test.each<[string, () => Bundle, RegExp]>([
  [
    'a model that is none',
    () => bundleOf({}, { 'model.onnx': text('no model') }),
    /variant fp32: model\.onnx is no ONNX/,
  ],
  [
    'a model cut off',
    () => bundleOf({}, { 'model.onnx': identityModel().subarray(0, 70) }),
    /model\.onnx is cut off/,
  ],
  [
    'an input that the model has not',
    () => bundleOf({ io: { inputs: [{ ...window, name: 'x' }], outputs: [score] } }),
    /input x: not in the model, which has window/,
  ],
  [
    'an input of another type',
    () => bundleOf({ io: { inputs: [{ ...window, dtype: 'int64' }], outputs: [score] } }),
    /input window: the release says int64, the model has float32/,
  ],
  [
    'an output of another shape',
    () => bundleOf({ io: { inputs: [window], outputs: [{ ...score, shape: [1, 12] }] } }),
    /output score: the release says shape \[1,12\], the model has \[1,2,2\]/,
  ],
  [
    'an operator set that is too low',
    () => bundleOf({ requires: { opset: { 'ai.onnx': 12 }, irVersion: 8 } }),
    /ai\.onnx 12, and the model imports 13/,
  ],
  [
    'an operator set that is not named',
    () => bundleOf({ requires: { opset: {}, irVersion: 8 } }),
    /imports ai\.onnx 13, which is not named/,
  ],
  [
    'an IR version that is too low',
    () => bundleOf({ requires: { opset: { 'ai.onnx': 13 }, irVersion: 7 } }),
    /irVersion: 7, and the model has 8/,
  ],
  [
    'golden inputs of another shape',
    () => bundleOf({}, golden({ inputs: { window: { ...tensor, shape: [1, 4, 1] } } })),
    /case 0: input window: has shape \[1,4,1\], expected \[1,2,2\]/,
  ],
  [
    'golden inputs with too few numbers',
    () => bundleOf({}, golden({ inputs: { window: { ...tensor, data: [1] } } })),
    /has 1 elements, its shape \[1,2,2\] has 4/,
  ],
  [
    'golden inputs that are missing',
    () => bundleOf({}, golden({ inputs: {} })),
    /case 0: input window: missing/,
  ],
  [
    'golden outputs that the model has not',
    () => bundleOf({}, golden({ outputs: { other: tensor } })),
    /case 0: output other: the model has none of that name/,
  ],
  [
    'golden outputs that could never fail',
    () => bundleOf({}, golden({ outputs: {} })),
    /expects no output, so it could never fail/,
  ],
  [
    'golden vectors that are no JSON',
    () => bundleOf({}, { 'golden.json': text('{') }),
    /#\/golden golden\.json: is no JSON/,
  ],
  [
    'a pipeline that makes another shape',
    () => bundleOf({}, { 'pipeline.json': json({ ...identityPipeline, window: 3 }) }),
    /makes shape \[1,3,2\], the model takes \[1,2,2\]/,
  ],
  [
    'a pipeline that feeds another input',
    () => bundleOf({}, { 'pipeline.json': json({ ...identityPipeline, input: 'x' }) }),
    /input x: the model has no such input/,
  ],
  [
    'a pipeline that watches an output that is not there',
    () =>
      bundleOf(
        {},
        { 'pipeline.json': json({ ...identityPipeline, monitor: [{ name: 'm', of: { output: 'loss' } }] }) },
      ),
    /output loss: the model has no such output/,
  ],
  [
    'a pipeline that watches a field that is not read',
    () =>
      bundleOf(
        {},
        { 'pipeline.json': json({ ...identityPipeline, monitor: [{ name: 'm', of: { field: 'wind' } }] }) },
      ),
    /monitor: wind is no field of a reading/,
  ],
  [
    'a part that is not in the bundle',
    () => bundleOf({ card: 'card.json' }),
    /card: no file card\.json in the bundle/,
  ],
  [
    'a path that climbs out',
    () => bundleOf({ files: { '../x': describeFile(text('x')) } }),
    /release: \/files/,
  ],
])('refused with what is wrong: %s', async (_, bundle, detail) => {
  const mistakes = await mistakesOf(bundle())
  expect(mistakes.join('\n')).toMatch(detail)
  expect(await box.hub.services.registry.versions('identity')).toEqual([])
})

test('all mistakes come at once', async () => {
  const bundle = bundleOf(
    { requires: { opset: {}, irVersion: 1 } },
    { 'pipeline.json': json({ ...identityPipeline, window: 9 }), ...golden({ inputs: {} }) },
  )
  expect(await mistakesOf(bundle)).toHaveLength(4)
})

test('aliases move, and keep their history', async () => {
  const { registry, database } = box.hub.services
  await publish(box.hub, bundleOf())
  await publish(box.hub, bundleOf({ version: '2', releaseCounter: 2 }))
  expect(await registry.setAlias('identity', 'champion', '1', 'a')).toBe(true)
  expect(await registry.setAlias('identity', 'champion', '2', 'b')).toBe(true)
  expect(await registry.setAlias('identity', 'champion', '3', 'b')).toBe(false)
  expect(await registry.aliases('identity')).toEqual({ champion: '2' })
  await registry.removeAlias('identity', 'champion', 'c')
  const history = await database.db
    .selectFrom('alias_history')
    .select(['version', 'who'])
    .orderBy('id')
    .execute()
  expect(history).toEqual([
    { version: '1', who: 'a' },
    { version: '2', who: 'b' },
    { version: null, who: 'c' },
  ])
})

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}
