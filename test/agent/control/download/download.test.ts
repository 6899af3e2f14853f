import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@godwit/agent/control/clock'
import type { BlockSource } from '@godwit/agent/control/download/block-source'
import { httpSource, retryAfterOf } from '@godwit/agent/control/download/http-source'
import { blocksHeld, PartFile, settleBlob } from '@godwit/agent/control/download/part-file'
import { RateFloor } from '@godwit/agent/control/download/rate-floor'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { BlobServer } from '../../../support/blob-server.ts'
import { LossyLink } from '../../../support/lossy-link.ts'
import { newDownloader } from '../../../support/new-downloader.ts'

const bytes = new Uint8Array(randomBytes(1_000_000))
const file = describeFile(bytes)
const quiet = new AbortController().signal

let directory: string
let server: BlobServer
const closing: (() => unknown)[] = []

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-download-'))
  server = await BlobServer.open()
  server.blobs.set(file.sha256, bytes)
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  await server.close()
  rmSync(directory, { recursive: true, force: true })
})

function made(sources: readonly BlockSource[], more: Partial<Parameters<typeof newDownloader>[1]> = {}) {
  const all = newDownloader(directory, { sources, clock: systemClock, random: () => 0.01, ...more })
  closing.push(all.close)
  return all
}

type Made = ReturnType<typeof newDownloader>

async function planned({ downloader, release }: Made) {
  return downloader.plan(release, 'bundle', [file])
}

/** Until it is here or has failed for good. */
async function fetched({ downloader, release, paths, database }: Made) {
  for (;;) {
    const end = await downloader.fetch(release, file, quiet, () => {})
    if (end.end === 'waiting') continue
    if (end.end === 'complete') {
      expect(await settleBlob(paths, file, database)).toBe(true)
      expect(readFileSync(paths.blob(file.sha256)).equals(Buffer.from(bytes))).toBe(true)
    }
    return end
  }
}

const hub = (url: string, more = {}) => httpSource({ name: 'http', url, fetch, ...more })
const mirror = (url: string, name = 'mirror') => httpSource({ name, url, fetch, isStranger: true })

describe('a download', () => {
  test('over a link that dies again and again fetches no block twice', async () => {
    const link = await LossyLink.open(server, { resetAfterBytes: 150_000 })
    closing.push(() => link.close())
    const all = made([hub(link.url)])
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(link.cuts).toBeGreaterThan(1)
    // Of the plan's 1,262,144 bytes the overhead is left: every byte that was seen here was seen once.
    expect(all.budget.room(all.release.releaseDigest)).toBe(262_144)
  })

  test('gets on although no connection lasts for a whole block', async () => {
    const link = await LossyLink.open(server, { resetAfterBytes: 30_000 })
    closing.push(() => link.close())
    const all = made([hub(link.url)], { rules: { retriesMax: 1_000 } })
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(link.cuts).toBeGreaterThanOrEqual(Math.floor(bytes.length / 30_000))
  })

  test('goes on behind an answer that was cut short', async () => {
    const link = await LossyLink.open(server, { truncateAfterBytes: 300_000 })
    closing.push(() => link.close())
    const all = made([hub(link.url)])
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(server.asked.length).toBeGreaterThanOrEqual(4)
  })

  test('leaves a connection that says nothing any more', async () => {
    const link = await LossyLink.open(server, { bytesPerSecond: 2_000_000 })
    closing.push(() => link.close())
    const all = made([hub(link.url, { stallMs: 300 })], {
      onBlock: (_file, { index }) => {
        // Once: the next connection finds the link as it was.
        if (index !== 3) return
        link.weather = { silent: true }
        setTimeout(() => {
          link.weather = {}
        }, 400)
      },
    })
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(link.connections).toBeGreaterThan(1)
  })

  test('after a restart asks for the missing blocks alone', async () => {
    const once = made([
      {
        ...hub(server.url),
        fetch: async (delivery) => {
          const [first, second] = delivery.wanted
          for (const { offset, length, ...block } of [first!, second!])
            await delivery.take({ offset, length, ...block }, bytes.subarray(offset, offset + length))
          return { end: 'refused', code: 'internal', detail: 'no more' }
        },
      },
    ])
    await planned(once)
    expect(await once.downloader.fetch(once.release, file, quiet, () => {})).toMatchObject({ end: 'waiting' })
    once.close()
    closing.pop()
    const again = made([hub(server.url)])
    expect(await fetched(again)).toEqual({ end: 'complete' })
    expect(server.asked[0]?.range).toBe(`bytes=${2 * 65_536}-${bytes.length - 1}`)
  })
})

describe('what lies on the disk', () => {
  /** The first so many blocks, as a stick would bring them. */
  const beginning = (count: number): BlockSource => ({
    ...{ name: 'medium', cost: 'none' },
    fetch: async ({ wanted, take }) => {
      for (const block of wanted.slice(0, count))
        await take(block, bytes.subarray(block.offset, block.offset + block.length))
      return { end: 'refused', code: 'internal', detail: 'no more' }
    },
  })

  test('a part file that is gone makes its journal void', async () => {
    const all = made([beginning(2)])
    await all.downloader.fetch(all.release, file, quiet, () => {})
    rmSync(all.paths.part(file.sha256))
    all.close()
    closing.pop()
    const again = made([hub(server.url)])
    await planned(again)
    expect(await fetched(again)).toEqual({ end: 'complete' })
    expect(server.asked[0]?.range).toBe(`bytes=0-${bytes.length - 1}`)
  })

  test('a file that was altered behind its journal is no blob, and is fetched again', async () => {
    const all = made([beginning(file.blocks.length)])
    await all.downloader.fetch(all.release, file, quiet, () => {})
    const part = readFileSync(all.paths.part(file.sha256))
    part[700_000] = part[700_000]! ^ 1
    writeFileSync(all.paths.part(file.sha256), part)
    expect(await settleBlob(all.paths, file, all.database)).toBe(false)
    expect(existsSync(all.paths.blob(file.sha256))).toBe(false)
    expect(await all.downloader.missingBytes(file)).toBe(bytes.length)
  })

  test('blocks whose sync failed are written again before they are entered', async () => {
    const { paths, database } = made([])
    const part = await PartFile.open(paths, file, database, {
      ...{ clock: systemClock, unkept: undefined, isKnown: true },
      alongside: () => {},
    })
    closing.push(() => part.close())
    const probe = await open(paths.part(file.sha256))
    const handles = Object.getPrototypeOf(probe) as typeof probe
    await probe.close()
    const eio = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
    const sync = vi.spyOn(handles, 'datasync').mockRejectedValueOnce(eio)
    onTestFinished(() => sync.mockRestore())
    await part.write(0, bytes.subarray(0, 65_536))
    await expect(part.flush()).rejects.toThrow('EIO')
    expect(blocksHeld(database, file.sha256)).toEqual(new Set())
    // What the kernel has left of it: nothing that a second sync would force to the disk.
    writeFileSync(paths.part(file.sha256), new Uint8Array(bytes.length))
    await part.flush()
    expect(blocksHeld(database, file.sha256)).toEqual(new Set([0]))
    expect(sha256Hex(readFileSync(paths.part(file.sha256)).subarray(0, 65_536))).toBe(file.blocks[0])
  })

  test('a disk that takes no block is found out before anybody pays for one', async () => {
    const all = made([hub(server.url)])
    await planned(all)
    const probe = await open(all.paths.database)
    const handles = Object.getPrototypeOf(probe) as typeof probe
    await probe.close()
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    const write = vi.spyOn(handles, 'write').mockRejectedValueOnce(full)
    onTestFinished(() => write.mockRestore())
    await expect(all.downloader.fetch(all.release, file, quiet, () => {})).rejects.toThrow('ENOSPC')
    expect(server.asked).toEqual([])
    expect(await fetched(all)).toEqual({ end: 'complete' })
  })
})

describe('the budget', () => {
  test('ends a download whose holes cost more than the plan, and says so after a restart too', async () => {
    const wasteful: BlockSource = {
      ...{ name: 'http', cost: 'link' },
      fetch: async ({ received }) => {
        received(400_000)
        return { end: 'retryable', code: 'link_lost', detail: 'cut' }
      },
    }
    const all = made([wasteful])
    await planned(all)
    const end = await fetched(all)
    expect(end).toMatchObject({ end: 'failed', code: 'budget_bytes' })
    expect((end as { detail: string }).detail).toContain('1000000 were planned and 1262144 allowed')
    all.close()
    closing.pop()
    const again = made([hub(server.url)])
    await planned(again)
    expect(await fetched(again)).toMatchObject({ end: 'failed', code: 'budget_bytes' })
    expect(server.asked).toEqual([])
  })

  test('a server without ranges is used when the whole file fits', async () => {
    server.ignoresRanges = true
    const all = made([hub(server.url)])
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(server.asked).toHaveLength(1)
  })

  test('a server without ranges is not used when most of the file is here already', async () => {
    server.ignoresRanges = true
    const most: BlockSource = {
      ...{ name: 'medium', cost: 'none' },
      fetch: async ({ wanted, take }) => {
        for (const block of wanted.slice(0, 12))
          await take(block, bytes.subarray(block.offset, block.offset + block.length))
        return { end: 'refused', code: 'internal', detail: 'no more' }
      },
    }
    const before = made([most])
    expect(await before.downloader.fetch(before.release, file, quiet, () => {})).toMatchObject({
      end: 'waiting',
    })
    before.close()
    closing.pop()
    // Now only the rest is planned.
    const all = made([hub(server.url)])
    await planned(all)
    const end = await all.downloader.fetch(all.release, file, quiet, () => {})
    expect(end).toMatchObject({ end: 'waiting', code: 'budget_bytes' })
    expect((end as { detail: string }).detail).toContain('sends the whole file for a range')
  })

  test('a release too large for a metered link is not begun', async () => {
    const all = made([hub(server.url)], {
      linkClass: () => 'metered',
      rules: { metered: { releaseBytesMax: 500_000 } },
    })
    expect(await planned(all)).toMatchObject({ end: 'failed', code: 'budget_bytes' })
    expect(server.asked).toEqual([])
  })

  test('a day that is spent makes the download wait for the next, and the next goes on', async () => {
    let nowMs = Date.UTC(2026, 10, 23, 12)
    const all = made([hub(server.url)], {
      linkClass: () => 'metered',
      nowMs: () => nowMs,
      rules: { metered: { dayBytesMax: 600_000 } },
    })
    expect(await planned(all)).toBeUndefined()
    const end = await all.downloader.fetch(all.release, file, quiet, () => {})
    expect(end).toMatchObject({ end: 'waiting', code: 'budget_bytes', counts: false })
    nowMs += 86_400_000
    expect(await fetched(all)).toEqual({ end: 'complete' })
  })

  test('a month that is spent makes it wait, whatever day it is', async () => {
    let nowMs = Date.UTC(2026, 10, 23, 12)
    const all = made([hub(server.url)], {
      linkClass: () => 'metered',
      nowMs: () => nowMs,
      rules: { metered: { monthBytesMax: 600_000 } },
    })
    expect(await planned(all)).toBeUndefined()
    const fetchNow = () => all.downloader.fetch(all.release, file, quiet, () => {})
    const waiting = { end: 'waiting', code: 'budget_bytes', counts: false }
    expect(await fetchNow()).toMatchObject(waiting)
    nowMs = Date.UTC(2026, 10, 30)
    expect(await fetchNow()).toMatchObject({ ...waiting, detail: expect.stringContaining('2026-11') })
    nowMs = Date.UTC(2026, 11, 1)
    expect(await fetched(all)).toEqual({ end: 'complete' })
  })

  test.each([
    [1, 'failed'],
    [4, 'complete'],
  ])('a link that dies behind every %i blocks: %s', async (blocks, expected) => {
    const dying: BlockSource = {
      ...{ name: 'http', cost: 'link' },
      fetch: async ({ wanted, take }) => {
        for (const { offset, length, ...block } of wanted.slice(0, blocks))
          await take({ offset, length, ...block }, bytes.subarray(offset, offset + length))
        return wanted.length <= blocks
          ? { end: 'complete' }
          : { end: 'retryable', code: 'link_lost', detail: 'cut' }
      },
    }
    // Four blocks earn one setback back.
    const all = made([dying], { rules: { retriesMax: 2 }, random: () => 0 })
    await planned(all)
    expect(await fetched(all)).toMatchObject({ end: expected })
  })

  test('what comes from next door costs nothing', async () => {
    const all = made([httpSource({ name: 'gateway', url: server.url, fetch, cost: 'near' })])
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(all.budget.room(all.release.releaseDigest)).toBe(1_262_144)
  })
})

describe('sources', () => {
  test('a lying mirror wastes one block, is left aside, and the hub is asked for the rest', async () => {
    const liar = await BlobServer.open()
    closing.push(() => liar.close())
    const lie = Uint8Array.from(bytes)
    lie[5 * 65_536] = lie[5 * 65_536]! ^ 1
    liar.blobs.set(file.sha256, lie)
    const aside: string[] = []
    const all = made([mirror(liar.url), hub(server.url)], { onAside: ({ name }) => aside.push(name) })
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(aside).toEqual(['mirror'])
    expect(liar.asked).toHaveLength(1)
    expect(server.asked[0]?.range).toBe(`bytes=${5 * 65_536}-${bytes.length - 1}`)
  })

  test('a mirror that has lied is not asked by the next call either', async () => {
    const lie = Uint8Array.from(bytes)
    lie[0] = lie[0]! ^ 1
    server.blobs.set(file.sha256, lie)
    const all = made([mirror(server.url)])
    await planned(all)
    for (let i = 0; i < 3; i++)
      expect(await all.downloader.fetch(all.release, file, quiet, () => {})).toMatchObject({ end: 'waiting' })
    expect(server.asked).toHaveLength(1)
  })

  test('a hub is asked again for a wrong block, and the sixth ends the download', async () => {
    const lie = Uint8Array.from(bytes)
    lie[0] = lie[0]! ^ 1
    server.blobs.set(file.sha256, lie)
    const all = made([hub(server.url)])
    await planned(all)
    expect(await fetched(all)).toMatchObject({
      ...{ end: 'failed', code: 'integrity' },
      detail: expect.stringMatching(/^6 blocks .* came with the wrong digest/),
    })
    expect(server.asked).toHaveLength(6)
  })

  test('a mirror gets no token of ours', async () => {
    const all = made([mirror(server.url)])
    await planned(all)
    await fetched(all)
    expect(server.asked.map(({ authorization }) => authorization)).toEqual([undefined])
  })

  test.each([401, 403, 404, 410])('%i is final for its source, which is not asked again', async (status) => {
    server.misbehave = (_sha256, response) => !!response.writeHead(status).end()
    const all = made([hub(server.url)])
    await planned(all)
    const end = await all.downloader.fetch(all.release, file, quiet, () => {})
    expect(end).toMatchObject({ end: 'waiting', counts: true })
    expect(server.asked).toHaveLength(1)
  })

  test.each([408, 429, 500, 503])(
    '%i is tried again, until the budget of the release is spent',
    async (status) => {
      server.misbehave = (_sha256, response) => !!response.writeHead(status).end()
      const all = made([hub(server.url)], { rules: { retriesMax: 3 } })
      await planned(all)
      const end = await all.downloader.fetch(all.release, file, quiet, () => {})
      expect(end).toMatchObject({ end: 'failed', code: 'link_lost' })
      expect(server.asked).toHaveLength(4)
    },
  )

  test('one that sends elsewhere is not followed: our token would go with us', async () => {
    const elsewhere = await BlobServer.open()
    closing.push(() => elsewhere.close())
    elsewhere.blobs.set(file.sha256, bytes)
    server.misbehave = (sha256, response) =>
      !!response.writeHead(302, { location: `${elsewhere.url}/blobs/sha256/${sha256}` }).end()
    const all = made([hub(server.url)])
    await planned(all)
    expect(await all.downloader.fetch(all.release, file, quiet, () => {})).toMatchObject({ end: 'waiting' })
    expect(elsewhere.asked).toEqual([])
  })

  test('one that sends another range than was asked for is not read', async () => {
    server.misbehave = (_sha256, response) =>
      !!response.writeHead(206, { 'content-range': `bytes 65536-131071/${bytes.length}` }).end(bytes)
    const all = made([hub(server.url)])
    await planned(all)
    const end = await all.downloader.fetch(all.release, file, quiet, () => {})
    expect(end).toMatchObject({ end: 'waiting', detail: expect.stringContaining('asked for bytes from 0') })
  })

  test('one that asks to be left alone for long is, and the caller is let go', async () => {
    server.misbehave = (_sha256, response) => !!response.writeHead(503, { 'retry-after': '600' }).end()
    const all = made([hub(server.url)])
    await planned(all)
    for (let i = 0; i < 3; i++)
      expect(await all.downloader.fetch(all.release, file, quiet, () => {})).toMatchObject({
        end: 'waiting',
        counts: false,
      })
    expect(server.asked).toHaveLength(1)
  })

  test('one that drips gives way to the next', async () => {
    const link = await LossyLink.open(server, { bytesPerSecond: 2_000 })
    closing.push(() => link.close())
    const all = made([mirror(link.url), hub(server.url)], { bytesPerSecondMin: 10_000, rateWindowMs: 300 })
    await planned(all)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(server.asked.length).toBeGreaterThan(0)
  })

  test('a fleet is spread before the first byte, once for each release', async () => {
    const other = new Uint8Array(randomBytes(100_000))
    const second = describeFile(other)
    server.blobs.set(second.sha256, other)
    let spreads = 0
    const waits = Promise.withResolvers<void>()
    const all = made([hub(server.url)], {
      random: () => 0.5,
      spreadMs: () => {
        spreads++
        waits.resolve()
        return 3_600_000
      },
    })
    await planned(all)
    const end = fetched(all)
    await waits.promise
    expect(server.asked).toEqual([])
    // The next turn: it is asleep by then.
    setImmediate(() => all.downloader.kick())
    expect(await end).toEqual({ end: 'complete' })
    await all.downloader.plan(all.release, 'document', [second])
    expect(await all.downloader.fetch(all.release, second, quiet, () => {})).toEqual({ end: 'complete' })
    expect(spreads).toBe(1)
  })

  test('a stop ends the waiting at once', async () => {
    const stop = new AbortController()
    const all = made([hub(server.url)], { spreadMs: () => 3_600_000, random: () => 1 })
    const end = all.downloader.fetch(all.release, file, stop.signal, () => {})
    stop.abort(new Error('stopping'))
    await expect(end).rejects.toThrow('stopping')
  })
})

test('Retry-After is seconds or a date, and an hour at most', () => {
  const nowMs = Date.parse('2026-11-23T00:00:00Z')
  expect(retryAfterOf('120', nowMs)).toBe(120_000)
  expect(retryAfterOf('Mon, 23 Nov 2026 00:00:30 GMT', nowMs)).toBe(30_000)
  expect(retryAfterOf('999999999', nowMs)).toBe(3_600_000)
  expect(retryAfterOf('Sun, 22 Nov 2026 00:00:00 GMT', nowMs)).toBe(0)
  expect(retryAfterOf('soon', nowMs)).toBeUndefined()
  expect(retryAfterOf(null, nowMs)).toBeUndefined()
})

test('a rate is judged over whole windows, and our own pauses are no fault of the source', () => {
  const floor = new RateFloor(1_000, 60_000, 0)
  expect(floor.isTooSlow(59_999)).toBe(false)
  expect(floor.isTooSlow(60_000)).toBe(true)
  floor.received(60_000)
  expect(floor.isTooSlow(120_000)).toBe(false)
  floor.received(60_000)
  floor.paused(30_000)
  expect(floor.isTooSlow(180_000)).toBe(false)
  expect(floor.isTooSlow(210_000)).toBe(false)
})
