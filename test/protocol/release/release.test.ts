import { blockBytesFor, blockRange, describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { agreementOf } from '@godwit/protocol/release/golden'
import { mistakesOf, type Release, release } from '@godwit/protocol/release/release'
import { describe, expect, test } from 'vitest'

const file = describeFile(new Uint8Array(100_000).fill(1))
const good: Release = {
  format: 'godwit-release/1',
  model: 'm',
  version: 'v1',
  releaseCounter: 1,
  createdAt: '2026-11-22T00:00:00.000Z',
  files: { 'model.onnx': file, 'golden.json': file, 'pipeline.json': file },
  variants: [{ name: 'fp32', file: 'model.onnx', executionProviders: ['cpu'], precision: 'fp32' }],
  io: {
    inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 2] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['N'] }],
  },
  golden: 'golden.json',
  pipeline: 'pipeline.json',
  requires: { opset: { 'ai.onnx': 17 }, irVersion: 8 },
  promises: {},
}

describe('a release document', () => {
  test('is read back', () => {
    expect(release.check(JSON.parse(JSON.stringify(good)))).toEqual({ ok: true, value: good })
    expect(mistakesOf(good)).toEqual([])
  })

  test('cannot name a file outside its bundle', () => {
    for (const path of [
      '../model.onnx',
      '/etc/passwd',
      'a/../b',
      './a',
      'a//b',
      'a\\b',
      '.hidden',
      'a/.',
      'a\n',
      '',
    ]) {
      expect(
        release.check({ ...good, files: { ...good.files, [path]: file } }).ok,
        JSON.stringify(path),
      ).toBe(false)
      expect(release.check({ ...good, golden: path }).ok, JSON.stringify(path)).toBe(false)
    }
  })

  test('must have the parts that it names, and as many blocks as its sizes ask for', () => {
    expect(mistakesOf({ ...good, golden: 'other.json' })).toEqual([
      'golden: no file other.json in the bundle',
    ])
    const short = { ...file, blocks: file.blocks.slice(1) }
    expect(mistakesOf({ ...good, files: { ...good.files, 'model.onnx': short } })).toEqual([
      'model.onnx: 1 blocks, 2 expected for 100000 bytes',
    ])
    const twice = [good.variants[0]!, good.variants[0]!]
    expect(mistakesOf({ ...good, variants: twice })).toEqual(['variants: a name stands twice'])
  })
})

describe('blocks', () => {
  test('cover a file without gap or overlap', () => {
    const bytes = Uint8Array.from({ length: 10_001 }, (_, i) => i % 251)
    const described = describeFile(bytes, 4_096)
    let covered = 0
    described.blocks.forEach((digest, index) => {
      const { offset, length } = blockRange(described, index)
      expect(offset).toBe(covered)
      expect(sha256Hex(bytes.subarray(offset, offset + length))).toBe(digest)
      covered += length
    })
    expect(covered).toBe(bytes.length)
  })

  test('grow with the file, so that the list of a 4 GiB model still fits', () => {
    expect(blockBytesFor(1)).toBe(65_536)
    expect(blockBytesFor(4 * 2 ** 30)).toBe(262_144)
  })
})

describe('golden vectors', () => {
  const tensor = (data: number[], shape = [data.length]) => ({ dtype: 'float32' as const, shape, data })
  const tolerance = { atol: 0.01, rtol: 0.1 }

  test('agree within atol + rtol of the expected value', () => {
    const got = { y: tensor([1.1, 10.9, 0.02]) }
    expect(agreementOf({ y: tensor([1, 10, 0]) }, got, tolerance)).toMatchObject({ agreed: 2, total: 3 })
  })

  test('never agree with NaN, infinity, a missing output, another type or another shape', () => {
    const want = { y: tensor([1, 2]) }
    for (const got of [
      { y: tensor([Number.NaN, Number.POSITIVE_INFINITY]) },
      {},
      { y: { ...tensor([1, 2]), dtype: 'float64' } },
      { y: tensor([1, 2], [1, 2]) },
      { y: tensor([1]) },
      { z: tensor([1, 2]) },
    ]) {
      expect(agreementOf(want, got, tolerance), JSON.stringify(got)).toMatchObject({ agreed: 0, total: 2 })
    }
  })

  test('say what was worst', () => {
    expect(agreementOf({ y: tensor([1, 2]) }, { y: tensor([1, 7]) }, tolerance).worst).toBe(
      'output y[1]: expected 2, got 7',
    )
  })
})
