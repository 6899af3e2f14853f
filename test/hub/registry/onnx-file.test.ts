import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { inspectOnnx } from '@godwit/hub/registry/onnx-file'
import onnxProto from 'onnx-proto'
import { describe, expect, test } from 'vitest'
import { identityModel } from '../support/bundle.ts'

const data = fileURLToPath(new URL('../../../../shared/data/', import.meta.url))
const { onnx } = onnxProto
const join = (...parts: Uint8Array[]) => Uint8Array.from(Buffer.concat(parts))
const text = (value: string) => new TextEncoder().encode(value)

/** What is wrong with it, or "nothing". */
function flawOf(bytes: Uint8Array): string {
  const verdict = inspectOnnx(bytes)
  return verdict.ok ? 'nothing' : verdict.detail
}

test('a model says its operator sets, inputs and outputs', () => {
  expect(inspectOnnx(identityModel())).toEqual({
    ok: true,
    value: {
      irVersion: 8,
      opset: { 'ai.onnx': 13 },
      inputs: [{ name: 'window', dtype: 'float32', shape: [1, 2, 2] }],
      outputs: [{ name: 'score', dtype: 'float32', shape: [1, 2, 2] }],
    },
  })
})

test('an initializer that is also listed as an input need not be fed', () => {
  const weight = { name: 'w', dataType: 1, dims: [1], rawData: new Uint8Array(4) }
  const node = [{ opType: 'Add', input: ['window', 'w'], output: ['score'] }]
  const input = [{ name: 'window' }, { name: 'w' }]
  const verdict = inspectOnnx(identityModel({ node, input, initializer: [weight] }))
  expect(verdict).toMatchObject({ ok: true, value: { inputs: [{ name: 'window' }] } })
})

const weight = (change: object) => ({ initializer: [{ name: 'w', dataType: 1, dims: [2, 2], ...change }] })
const external = {
  ...{ name: 'w', dataType: 1, dims: [1], dataLocation: 1 },
  externalData: [{ key: 'location', value: '../../secret' }],
}
const branch = { name: 'then', initializer: [external], node: [], output: [] }

test.each<[string, () => Uint8Array, RegExp]>([
  ['nothing', () => new Uint8Array(), /is empty/],
  [
    'a Git LFS pointer',
    () => text('version https://git-lfs.github.com/spec/v1\noid sha256:00'),
    /Git LFS pointer/,
  ],
  ['a web page', () => text('<!DOCTYPE html><title>404</title>'), /is no ONNX model/],
  ['a model cut off', () => identityModel().subarray(0, 60), /is cut off/],
  [
    'a model with a byte behind it',
    () => join(identityModel(), new Uint8Array([0])),
    /no ONNX from byte \d+ on/,
  ],
  ['a model with text behind it', () => join(identityModel(), text('garbage')), /no ONNX from byte \d+ on/],
  ['two models joined', () => join(identityModel(), identityModel()), /has 2 graphs/],
  ['no graph', () => onnx.ModelProto.encode({ irVersion: 8 }).finish(), /has no graph/],
  ['no operator set', () => identityModel({}, { opsetImport: [] }), /imports no operator set/],
  ['no output', () => identityModel({ output: [] }), /has no outputs/],
  [
    'an output that nothing computes',
    () => identityModel({ output: [{ name: 'z' }] }),
    /"z", which nothing computes/,
  ],
  [
    'a value made twice',
    () =>
      identityModel({
        node: [1, 2].map(() => ({ opType: 'Identity', input: ['window'], output: ['score'] })),
      }),
    /defines "score" twice/,
  ],
  [
    'an output named twice',
    () => identityModel({ output: [{ name: 'score' }, { name: 'score' }] }),
    /defines "score" twice/,
  ],
  [
    'data in another file',
    () => identityModel({ initializer: [external] }),
    /keeps "w" in another file \("..\/..\/secret"\)/,
  ],
  [
    'data in another file, hidden in a branch',
    () => {
      const attribute = [{ name: 'then_branch', type: 5, g: branch }]
      return identityModel({ node: [{ opType: 'If', input: ['window'], output: ['score'], attribute }] })
    },
    /keeps "w" in another file/,
  ],
  [
    'data in another file, hidden in a function',
    () => {
      const node = [
        { opType: 'Constant', output: ['c'], attribute: [{ name: 'value', type: 4, t: external }] },
      ]
      return identityModel({}, { functions: [{ name: 'f', domain: 'x', node }] })
    },
    /function "f" keeps "w" in another file/,
  ],
  [
    'weights of another size',
    () => identityModel(weight({ rawData: new Uint8Array(12) })),
    /12 bytes for "w" of shape \[2,2\], expected 16/,
  ],
  ['an impossible shape', () => identityModel(weight({ dims: [2 ** 31, 2 ** 31] })), /impossible shape/],
])('refused with what is wrong: %s', (_, bytes, detail) => {
  expect(flawOf(bytes())).toMatch(detail)
})

test('no prefix of a model, and no model with one bit changed, makes the inspection throw', () => {
  const whole = identityModel()
  for (let length = 0; length < whole.length; length++)
    expect(flawOf(whole.subarray(0, length))).not.toBe('nothing')
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const damaged = Uint8Array.from(whole)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    inspectOnnx(damaged)
  }
})

test('branches nested without end are refused, and the walk ends', () => {
  let graph: object = { name: 'leaf' }
  for (let depth = 0; depth < 60; depth++) {
    graph = {
      name: 'g',
      node: [{ opType: 'If', output: [], attribute: [{ name: 'then_branch', type: 5, g: graph }] }],
    }
  }
  const node = [
    {
      opType: 'If',
      input: ['window'],
      output: ['score'],
      attribute: [{ name: 'else_branch', type: 5, g: graph }],
    },
  ]
  expect(flawOf(identityModel({ node }))).toMatch(/nested deeper than/)
})

describe.skipIf(!existsSync(data))('files of shared/data (skipped where it is absent)', () => {
  test.each([
    ['01_empty', /is empty/],
    ['02_truncated_half', /is cut off/],
    ['05_git_lfs_pointer', /Git LFS/],
    ['09_trailing_garbage', /no ONNX from byte 26143 on/],
    ['11_extdata_traversal_etc_passwd', /another file \("[./]+etc\/passwd"\)/],
    ['13_extdata_missing_file', /another file \("nope.bin"\)/],
    ['18_initializer_dims_overflow', /impossible shape/],
    ['27_duplicate_output_name', /defines "y" twice/],
  ])('%s is refused', (name, detail) => {
    expect(flawOf(readFileSync(`${data}bad-models/${name}.onnx`))).toMatch(detail)
  })

  // Nothing in these files contradicts itself; the self-test on the device, in its cage, is what stops them.
  test.each([
    '20_alloc_bomb_800GB',
    '21_infinite_loop',
    '25_nan_and_inf_output',
    '29_proto_pollution_names_and_xss',
  ])('%s cannot be told by reading', (name) => {
    expect(flawOf(readFileSync(`${data}bad-models/${name}.onnx`))).toBe('nothing')
  })

  const models = existsSync(`${data}models`)
    ? readdirSync(`${data}models`).filter((name) => name.endsWith('.onnx'))
    : []
  test.each(models)('%s is a model', (name) => {
    expect(flawOf(readFileSync(`${data}models/${name}`))).toBe('nothing')
  })
})
