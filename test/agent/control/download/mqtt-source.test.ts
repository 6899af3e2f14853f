import { randomBytes } from 'node:crypto'
import type { Delivery } from '@godwit/agent/control/download/block-source'
import { type BlockLink, mqttSource } from '@godwit/agent/control/download/mqtt-source'
import { missingBlocks } from '@godwit/agent/control/download/plan'
import type { BlockRequest } from '@godwit/protocol/messages/blocks'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { expect, test } from 'vitest'

const blockBytes = 4_096
const bytes = new Uint8Array(randomBytes(8 * blockBytes))

/** The hub behind the link: publishes what it is asked for, unless a test says otherwise. */
class Link implements BlockLink {
  isUp = true
  readonly requests: BlockRequest[] = []
  answers: (request: BlockRequest) => readonly number[] = ({ blocks }) => blocks.map(({ index }) => index)
  onUnsubscribe = () => {}
  readonly #file: Uint8Array
  readonly #listeners = new Set<(sha256: string, bytes: Uint8Array) => void>()

  constructor(file: Uint8Array) {
    this.#file = file
  }

  async subscribe() {}

  async unsubscribe() {
    this.onUnsubscribe()
  }

  async request(request: BlockRequest) {
    this.requests.push(request)
    const blocks = new Set(this.answers(request).map((index) => this.#block(index)))
    const byDigest = new Map([...blocks].map((block) => [sha256Hex(block), block]))
    setImmediate(() => {
      for (const block of byDigest.values()) this.publish(block)
    })
  }

  onBlock(listen: (sha256: string, bytes: Uint8Array) => void) {
    this.#listeners.add(listen)
    return () => this.#listeners.delete(listen)
  }

  onRefusal() {
    return () => {}
  }

  publishOf(index: number) {
    this.publish(this.#block(index))
  }

  publish(block: Uint8Array) {
    for (const listen of this.#listeners) listen(sha256Hex(block), block)
  }

  #block(index: number): Uint8Array {
    return this.#file.subarray(index * blockBytes, (index + 1) * blockBytes)
  }
}

function fetching(link: Link, content: Uint8Array, { windowBlocks = 4, silenceMs = 20_000 } = {}) {
  const file = describeFile(content, blockBytes)
  const taken: number[] = []
  const counted = { bytes: 0 }
  const abort = new AbortController()
  const source = mqttSource(link, { windowBlocks, aheadBlocks: 64, silenceMs, asksMax: 6 })
  const delivery: Delivery = {
    file,
    wanted: missingBlocks(file, new Set()),
    release: { model: 'gauge', version: '1', releaseDigest: 'ab'.repeat(32) },
    signal: abort.signal,
    room: () => Number.POSITIVE_INFINITY,
    received: (count) => {
      counted.bytes += count
    },
    take: async ({ index }) => {
      taken.push(index)
      return true
    },
  }
  return { end: source.fetch(delivery), taken, counted, abort }
}

const indexes = ({ blocks }: BlockRequest) => blocks.map(({ index }) => index)

test('a block that a neighbour made the hub publish fills a hole, and is never asked for', async () => {
  const link = new Link(bytes)
  const { end, taken } = fetching(link, bytes)
  setImmediate(() => link.publishOf(6))
  expect(await end).toEqual({ end: 'complete' })
  expect(taken.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  expect(link.requests.flatMap(indexes)).not.toContain(6)
})

test('what did not come is asked for again, and only then does the request say so', async () => {
  const link = new Link(bytes)
  link.answers = (request) => indexes(request).filter((index) => request.again || index !== 1)
  const { end } = fetching(link, bytes, { silenceMs: 30 })
  expect(await end).toEqual({ end: 'complete' })
  expect(link.requests[0]).not.toHaveProperty('again')
  const again = link.requests.filter((request) => request.again)
  expect(again.map(indexes)).toEqual([[1]])
})

test('the next blocks are asked for while half of the last are on their way', async () => {
  const link = new Link(bytes)
  const late: number[] = []
  link.answers = (request) => {
    // Of the first window its second half stays away until the next request is here.
    if (link.requests.length === 1) return indexes(request).slice(0, 2)
    late.push(...(link.requests.length === 2 ? [2, 3] : []))
    return [...late.splice(0), ...indexes(request)]
  }
  const { end } = fetching(link, bytes)
  expect(await end).toEqual({ end: 'complete' })
  expect(link.requests.slice(0, 2).map(indexes)).toEqual([
    [0, 1, 2, 3],
    [4, 5],
  ])
  expect(link.requests.some(({ again }) => again)).toBe(false)
})

test('blocks that are alike come once, and fill every place', async () => {
  const zeros = new Uint8Array(4 * blockBytes)
  const link = new Link(zeros)
  const { end, taken, counted } = fetching(link, zeros)
  expect(await end).toEqual({ end: 'complete' })
  expect(taken).toEqual([0, 1, 2, 3])
  expect(counted.bytes).toBe(blockBytes)
})

test("another file's block is neither taken nor counted; one of ours that comes twice is paid for twice", async () => {
  const link = new Link(bytes)
  const { end, taken, counted } = fetching(link, bytes)
  setImmediate(() => {
    link.publish(new Uint8Array(randomBytes(blockBytes)))
    link.publishOf(0)
  })
  expect(await end).toEqual({ end: 'complete' })
  expect(taken).toHaveLength(8)
  expect(counted.bytes).toBe(9 * blockBytes)
})

test('what was on its way when the download was stopped is kept', async () => {
  const link = new Link(bytes)
  link.answers = () => []
  const { end, taken, abort } = fetching(link, bytes)
  link.onUnsubscribe = () => link.publishOf(3)
  setImmediate(() => {
    link.publishOf(0)
    abort.abort(new Error('stopping'))
  })
  await expect(end).rejects.toThrow('stopping')
  expect(taken).toEqual([0, 3])
})
