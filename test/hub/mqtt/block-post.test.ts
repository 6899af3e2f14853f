import { BlockPost } from '@godwit/hub/mqtt/block-post'
import { blocksPerRequestMax } from '@godwit/protocol/limits'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const hexOf = (n: number) => n.toString(16).padStart(64, '0')
const blob = hexOf(999)
const blocks = Array.from({ length: 200 }, (_, i) => hexOf(i + 1))
const file = { sizeBytes: 200 * 4_096, blockBytes: 4_096, blocks }

function postOffice(options: ConstructorParameters<typeof BlockPost>[0]['options'] = {}) {
  const published: string[] = []
  const state = { deliver: async () => {}, atOnce: 0, mostAtOnce: 0 }
  const post = new BlockPost({
    index: async () => new Map([[blob, file]]),
    read: async (_, { length }) => new Uint8Array(length),
    publish: async (sha256) => {
      published.push(sha256)
      state.mostAtOnce = Math.max(state.mostAtOnce, ++state.atOnce)
      await state.deliver()
      state.atOnce--
    },
    failed: (error) => {
      throw error
    },
    ...(options && { options }),
  })
  const ask = (deviceId: string, from: number, count: number) =>
    post.ask(deviceId, {
      blob,
      blockBytes: 4_096,
      blocks: blocks.slice(from, from + count).map((sha256, i) => ({ index: from + i, sha256 })),
    })
  return { post, published, state, ask }
}

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => {
  vi.useRealTimers()
})

describe('the block post', () => {
  test('waits a moment, then publishes what a thousand devices asked for once', async () => {
    const { published, ask } = postOffice()
    for (let i = 0; i < 1_000; i++) await ask(`d${i}`, 0, 8)
    expect(published).toEqual([])
    await vi.advanceTimersByTimeAsync(1_000)
    expect(published).toEqual(blocks.slice(0, 8))
  })

  test('does not publish again for a device whose request has crossed the block, unless it says that it missed it', async () => {
    const { post, published, ask } = postOffice()
    await ask('a', 0, 1)
    await vi.advanceTimersByTimeAsync(100)
    post.forwarded('b', blocks[0]!)
    await ask('b', 0, 1)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(published).toEqual([blocks[0]])
    await post.ask('b', { blob, blockBytes: 4_096, blocks: [{ index: 0, sha256: blocks[0]! }], again: true })
    await vi.advanceTimersByTimeAsync(5_000)
    expect(published).toEqual([blocks[0], blocks[0]])
  })

  test('publishes again for whoever asks after that', async () => {
    const { published, ask } = postOffice()
    await ask('a', 0, 1)
    await vi.advanceTimersByTimeAsync(100)
    await ask('b', 0, 1)
    await vi.advanceTimersByTimeAsync(100)
    expect(published).toEqual([blocks[0], blocks[0]])
  })

  test('a block that waits for its latecomers keeps no other waiting', async () => {
    const { published, ask } = postOffice()
    for (let copies = 0; copies < 6; copies++) {
      await ask(`d${copies}`, 0, 1)
      await vi.advanceTimersByTimeAsync(2_000)
    }
    await ask('late', 0, 1)
    // The post has looked, and knows that the first is not due for long.
    await vi.advanceTimersByTimeAsync(50)
    published.length = 0
    await ask('new', 1, 1)
    await vi.advanceTimersByTimeAsync(50)
    expect(published).toEqual([blocks[1]])
  })

  test('has no more under way than it may, and goes on when a subscriber stands still', async () => {
    const { published, state, ask } = postOffice({ concurrentMax: 2, deliveryMsMax: 500 })
    state.deliver = () => new Promise(() => {})
    await ask('a', 0, 6)
    await vi.advanceTimersByTimeAsync(100)
    expect(published).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(500)
    expect(published).toHaveLength(4)
    await vi.advanceTimersByTimeAsync(500)
    expect(published).toHaveLength(6)
  })

  test('keeps to its pace', async () => {
    const { published, ask } = postOffice({ bytesPerSecondMax: 4_096 * 10 })
    await ask('a', 0, 32)
    await vi.advanceTimersByTimeAsync(1_020)
    expect(published.length).toBeGreaterThanOrEqual(9)
    expect(published.length).toBeLessThanOrEqual(11)
  })

  test('lets no device queue more than two requests, so that the others get their turn', async () => {
    const { published, ask } = postOffice()
    for (let from = 0; from < 200; from += 20) await ask('greedy', from, 20)
    await ask('modest', 190, 1)
    await vi.advanceTimersByTimeAsync(5_000)
    expect(published).toHaveLength(2 * blocksPerRequestMax + 1)
    expect(published).toContain(blocks[190])
  })

  test('publishes nothing after it has stopped', async () => {
    const { published, post, ask } = postOffice()
    await ask('a', 0, 8)
    post.stop()
    await ask('a', 0, 8)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(published).toEqual([])
  })
})
