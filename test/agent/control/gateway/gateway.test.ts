import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@godwit/agent/control/clock'
import { Downloader } from '@godwit/agent/control/download/download'
import { httpSource } from '@godwit/agent/control/download/http-source'
import { Pacer } from '@godwit/agent/control/download/pacer'
import { GatewayCache } from '@godwit/agent/control/gateway/cache'
import { Gateway } from '@godwit/agent/control/gateway/gateway'
import { ListedBlobs } from '@godwit/agent/control/gateway/listed'
import { ownGatewaySource } from '@godwit/agent/control/gateway/own-source'
import { Pulls } from '@godwit/agent/control/gateway/pulls'
import { rangeOf } from '@godwit/agent/control/gateway/range'
import { silentLog } from '@godwit/agent/control/log'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { accept, refuse } from '@godwit/protocol/trust/refusal'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BlobServer } from '../../../support/blob-server.ts'
import { newDownloader } from '../../../support/new-downloader.ts'
import { waitFor } from '../../../support/wait-for.ts'

const model = new Uint8Array(randomBytes(700_000))
const small = new Uint8Array(randomBytes(100))
const quiet = new AbortController().signal

let directory: string
let hub: BlobServer
let document: Uint8Array
let url: string
let cache: GatewayCache
let nowMs = Date.UTC(2026, 10, 23)
let pulls: Pulls
let closeAll: (() => Promise<void>) | undefined

function releaseOf(files: Record<string, Uint8Array>): Uint8Array {
  const described = Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name, describeFile(bytes)]),
  )
  return Buffer.from(
    JSON.stringify({
      ...{ format: 'godwit-release/1', model: 'gauge', version: '1', releaseCounter: 1 },
      ...{ createdAt: '2026-11-01T00:00:00Z', files: described, golden: 'g.json', pipeline: 'p.json' },
      variants: [{ name: 'fp32', file: 'm.onnx', executionProviders: ['cpu'], precision: 'float32' }],
      io: {
        inputs: [{ name: 'x', dtype: 'float32', shape: [1] }],
        outputs: [{ name: 'y', dtype: 'float32', shape: [1] }],
      },
      ...{ requires: { opset: { '': 17 }, irVersion: 8 }, promises: {} },
    }),
  )
}

async function open(bytesMax: number, pullThrough = true) {
  const base = newDownloader(join(directory, 'device'), { sources: [], clock: systemClock })
  cache = new GatewayCache(join(directory, 'gateway'), bytesMax, () => nowMs)
  pulls = new Pulls(
    cache,
    (onBlock) =>
      new Downloader({
        ...{ paths: cache.paths, database: cache.database, clock: systemClock, random: () => 0, onBlock },
        ...{ budget: base.budget, pacer: new Pacer(base.budget, systemClock), bytesPerSecondMin: 0 },
        ...{ spreadMs: () => 0, accountOf: (_release, { sha256 }) => `neighbour/${sha256}` },
        sources: () => [httpSource({ name: 'http', url: hub.url, fetch })],
      }),
    base.budget,
    silentLog,
  )
  const trust = {
    listed: async (name: string, version: string) =>
      name === 'gauge' && version === '1'
        ? accept({ releaseDigest: sha256Hex(document), releaseBytes: document.length })
        : refuse('not-listed', name),
  }
  const listed = new ListedBlobs(
    trust,
    (sha256) => [cache.paths.blob(sha256), cache.paths.part(sha256)],
    () => performance.now(),
  )
  const gateway = new Gateway({
    ...{ cache, ownBlob: base.paths.blob, listed, log: silentLog },
    pulls: pullThrough ? pulls : undefined,
  })
  url = `http://127.0.0.1:${await gateway.listen('127.0.0.1:0')}`
  closeAll = async () => {
    await gateway.stop()
    base.close()
  }
  return base
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-gateway-'))
  hub = await BlobServer.open()
  document = releaseOf({ 'm.onnx': model, 'g.json': small, 'p.json': small })
  for (const bytes of [model, small, document]) hub.blobs.set(sha256Hex(bytes), bytes)
})
afterEach(async () => {
  await closeAll?.()
  closeAll = undefined
  await hub.close()
  rmSync(directory, { recursive: true, force: true })
})

const get = (sha256: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${url}/blobs/sha256/${sha256}`, { headers, method })
const named = { 'x-godwit-release': 'gauge/1' }
const bytesOf = async (response: Response) => new Uint8Array(await response.arrayBuffer())

describe('a gateway', () => {
  test('fetches what the metadata lists, once, and serves it while it comes and afterwards', async () => {
    await open(10_000_000)
    expect(sha256Hex(await bytesOf(await get(sha256Hex(document), named)))).toBe(sha256Hex(document))
    const answers = await Promise.all([1, 2, 3].map(async () => bytesOf(await get(sha256Hex(model), named))))
    for (const answer of answers) expect(sha256Hex(answer)).toBe(sha256Hex(model))
    expect(hub.asked.filter(({ sha256 }) => sha256 === sha256Hex(model))).toHaveLength(1)
    await hub.close()
    expect(sha256Hex(await bytesOf(await get(sha256Hex(model))))).toBe(sha256Hex(model))
  })

  test('answers ranges and conditions as the hub does', async () => {
    await open(10_000_000)
    // The document was not asked for, and is fetched all the same.
    const part = await get(sha256Hex(model), { ...named, range: 'bytes=100000-199999' })
    expect(part.status).toBe(206)
    expect(part.headers.get('content-range')).toBe('bytes 100000-199999/700000')
    expect(await bytesOf(part)).toEqual(model.subarray(100_000, 200_000))
    const etag = part.headers.get('etag')!
    expect((await get(sha256Hex(model), { 'if-none-match': etag })).status).toBe(304)
    expect((await get(sha256Hex(model), { 'if-range': '"other"', range: 'bytes=0-1' })).status).toBe(200)
    expect((await get(sha256Hex(model), { range: 'bytes=700000-' })).status).toBe(416)
    expect((await get(sha256Hex(model), {}, 'HEAD')).headers.get('content-length')).toBe('700000')
  })

  test('fetches nothing that it is not told the release of, that is not listed, or that the release does not name', async () => {
    await open(10_000_000)
    const stranger = new Uint8Array(randomBytes(50))
    hub.blobs.set(sha256Hex(stranger), stranger)
    await bytesOf(await get(sha256Hex(document), named))
    hub.asked.length = 0
    expect((await get(sha256Hex(model))).status).toBe(404)
    expect((await get(sha256Hex(model), { 'x-godwit-release': 'gauge/2' })).status).toBe(404)
    expect((await get(sha256Hex(model), { 'x-godwit-release': '../../etc/passwd' })).status).toBe(404)
    expect((await get(sha256Hex(stranger), named)).status).toBe(404)
    expect(hub.asked).toEqual([])
  })

  test.each(['POST', 'PUT', 'DELETE'])('takes nothing: %s is refused', async (method) => {
    await open(10_000_000)
    expect((await get(sha256Hex(model), named, method)).status).toBe(405)
  })

  test.each(['/', '/blobs/sha256/../../device-key.json', '/blobs/sha256/abc', '/api/v1/time'])(
    'serves no other address: %s',
    async (path) => {
      await open(10_000_000)
      expect((await fetch(url + path)).status).toBe(404)
    },
  )

  test('without pull-through serves what it holds and asks nobody', async () => {
    const { paths } = await open(10_000_000, false)
    mkdirSync(paths.blobs, { recursive: true })
    writeFileSync(paths.blob(sha256Hex(model)), model)
    expect((await get(sha256Hex(document), named)).status).toBe(404)
    expect(sha256Hex(await bytesOf(await get(sha256Hex(model))))).toBe(sha256Hex(model))
    expect(hub.asked).toEqual([])
  })

  test('makes room by what was unused longest, and never touches what this device needs', async () => {
    const { paths } = await open(1_048_576)
    mkdirSync(paths.blobs, { recursive: true })
    writeFileSync(paths.blob('cd'.repeat(32)), 'own')
    for (const name of ['11', '22', '33']) {
      nowMs += 1_000
      cache.reserve(name.repeat(32), 300_000)
      writeFileSync(cache.paths.blob(name.repeat(32)), Buffer.alloc(300_000))
    }
    cache.hold('11'.repeat(32))
    expect(cache.reserve('44'.repeat(32), 400_000)).toBe(true)
    expect(existsSync(cache.paths.blob('11'.repeat(32)))).toBe(true)
    expect(existsSync(cache.paths.blob('22'.repeat(32)))).toBe(false)
    expect(cache.bytes).toBeLessThanOrEqual(1_048_576)
    expect(cache.reserve('55'.repeat(32), 2_000_000)).toBe(false)
    expect(existsSync(paths.blob('cd'.repeat(32)))).toBe(true)
  })

  test('a neighbour is told to come back when there is no room, and finds another source', async () => {
    await open(1_048_576)
    cache.reserve('11'.repeat(32), 1_000_000)
    cache.hold('11'.repeat(32))
    expect((await get(sha256Hex(document), named)).status).toBe(200)
    const answer = await get(sha256Hex(model), named)
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('5')
  })

  test('fetches four blobs at once, and has whoever wants a fifth come back', async () => {
    const blobs = Array.from({ length: 5 }, () => new Uint8Array(randomBytes(1_000)))
    document = releaseOf({
      ...Object.fromEntries(blobs.entries()),
      'g.json': small,
      'm.onnx': model,
      'p.json': small,
    })
    for (const bytes of [document, ...blobs]) hub.blobs.set(sha256Hex(bytes), bytes)
    await open(10_000_000)
    await bytesOf(await get(sha256Hex(document), named))
    await waitFor(() => expect(pulls.underWay(sha256Hex(document))).toBeUndefined())
    const held: (() => void)[] = []
    const four = Promise.withResolvers<void>()
    hub.misbehave = (sha256, response) => {
      const bytes = blobs.find((one) => sha256Hex(one) === sha256)!
      held.push(() => response.writeHead(200, { 'content-length': String(bytes.length) }).end(bytes))
      if (held.length === 4) four.resolve()
      return true
    }
    const answers = blobs.slice(0, 4).map(async (one) => bytesOf(await get(sha256Hex(one), named)))
    await four.promise
    const fifth = await get(sha256Hex(blobs[4]!), named)
    expect([fifth.status, fifth.headers.get('retry-after')]).toEqual([503, '5'])
    for (const answer of held) answer()
    expect(await Promise.all(answers)).toEqual(blobs.slice(0, 4))
  })

  test('names that strangers make up cost it sixty looks a minute, and what was listed is looked up again', async () => {
    let monotonicMs = 0
    let looks = 0
    const listing = {
      listed: async (name: string) => {
        looks++
        return name === 'gauge'
          ? accept({ releaseDigest: sha256Hex(document), releaseBytes: document.length })
          : refuse('not-listed', name)
      },
    } as unknown as ConstructorParameters<typeof ListedBlobs>[0]
    const blobs = new ListedBlobs(
      listing,
      () => [],
      () => monotonicMs,
    )
    for (let i = 0; i < 100; i++) await blobs.find(`made-up-${i}/1`, sha256Hex(model))
    expect(looks).toBe(60)
    expect(await blobs.find('gauge/1', sha256Hex(document))).toBeUndefined()
    monotonicMs = 60_000
    expect(await blobs.find('gauge/1', sha256Hex(document))).toBeDefined()
    expect(await blobs.find('gauge/1', sha256Hex(document))).toBeDefined()
    expect(looks).toBe(61)
    monotonicMs = 120_000
    await blobs.find('gauge/1', sha256Hex(document))
    expect(looks).toBe(62)
  })

  test('cuts its answer when its own source fails, and goes on from there for the next', async () => {
    await open(10_000_000)
    await bytesOf(await get(sha256Hex(document), named))
    hub.misbehave = (sha256, response, range) => {
      if (sha256 !== sha256Hex(model) || hub.asked.filter((one) => one.sha256 === sha256).length > 1)
        return false
      const [, from] = /^bytes=(\d+)/.exec(range ?? '') ?? []
      response.writeHead(206, { 'content-range': `bytes ${from}-699999/700000`, 'content-length': '700000' })
      response.write(model.subarray(0, 200_000), () => response.destroy())
      return true
    }
    expect(sha256Hex(await bytesOf(await get(sha256Hex(model), named)))).toBe(sha256Hex(model))
    expect(hub.asked.at(-1)?.range).toMatch(/^bytes=[1-9]\d{4,5}-699999$/)
  })

  test("this device's own download and its neighbours' cost the link once", async () => {
    await open(10_000_000)
    await bytesOf(await get(sha256Hex(document), named))
    hub.asked.length = 0
    const downloader = newDownloader(join(directory, 'own'), {
      sources: [ownGatewaySource(cache, pulls)],
      clock: systemClock,
    })
    const release = { model: 'gauge', version: '1', releaseDigest: sha256Hex(document) }
    const [end, neighbour] = await Promise.all([
      downloader.downloader.fetch(release, describeFile(model), quiet, () => {}),
      get(sha256Hex(model), named).then(bytesOf),
    ])
    expect(end).toEqual({ end: 'complete' })
    expect(sha256Hex(neighbour)).toBe(sha256Hex(model))
    expect(hub.asked).toHaveLength(1)
    downloader.close()
  })
})

test('one range is understood, and everything else means all of it', () => {
  expect(rangeOf('bytes=0-9', 100)).toEqual({ offset: 0, length: 10 })
  expect(rangeOf('bytes=90-', 100)).toEqual({ offset: 90, length: 10 })
  expect(rangeOf('bytes=90-500', 100)).toEqual({ offset: 90, length: 10 })
  expect(rangeOf('bytes=-5', 100)).toEqual({ offset: 95, length: 5 })
  expect(rangeOf('bytes=100-', 100)).toBe('unsatisfiable')
  for (const header of ['bytes=9-0', 'bytes=1-2,5-6', 'lines=1-2', 'bytes=-', 'bytes=1e3-', undefined])
    expect(rangeOf(header, 100)).toBeUndefined()
})
