import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { openDirectoryBlobs } from '@godwit/hub/blobs/directory-blobs'
import { expect, test } from 'vitest'
import { scratch } from '../support/scratch.ts'

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
async function* chunks(...parts: Uint8Array[]) {
  yield* parts
}
async function filled(directory = scratch(), sizeBytesMax = 1_000_000) {
  const blobs = await openDirectoryBlobs(directory, sizeBytesMax)
  const bytes = randomBytes(200_000)
  const created = await blobs.put(digest(bytes), chunks(bytes.subarray(0, 77_777), bytes.subarray(77_777)))
  return { blobs, bytes, hex: digest(bytes), created, directory }
}

test('a blob comes back whole, in ranges and in blocks', async () => {
  const { blobs, bytes, hex, created } = await filled()
  expect(created).toEqual({ created: true, sizeBytes: 200_000 })
  expect(await blobs.sizeOf(hex)).toBe(200_000)
  expect((await buffer((await blobs.get(hex))!)).equals(bytes)).toBe(true)
  const part = await buffer((await blobs.get(hex, { offset: 5, length: 70_000 }))!)
  expect(part.equals(bytes.subarray(5, 70_005))).toBe(true)
  expect(Buffer.from((await blobs.readBlock(hex, { offset: 131_072, length: 65_536 }))!)).toEqual(
    bytes.subarray(131_072, 196_608),
  )
})

test('a block that reaches beyond the end is none', async () => {
  const { blobs, hex } = await filled()
  expect(await blobs.readBlock(hex, { offset: 199_999, length: 2 })).toBeUndefined()
  expect(await blobs.readBlock(hex, { offset: -1, length: 2 })).toBeUndefined()
})

test('the same blob again is no new one', async () => {
  const { blobs, bytes, hex } = await filled()
  expect(await blobs.put(hex, chunks(bytes))).toEqual({ created: false, sizeBytes: 200_000 })
})

test('content that is not its digest is refused and leaves nothing', async () => {
  const { blobs, directory } = await filled()
  const other = randomBytes(10)
  await expect(blobs.put('0'.repeat(64), chunks(other))).rejects.toMatchObject({
    code: 'digest-mismatch',
    message: expect.stringContaining(digest(other)),
  })
  expect(readdirSync(join(directory, 'incoming'))).toEqual([])
  expect(await blobs.sizeOf('0'.repeat(64))).toBeUndefined()
})

test('an upload without end is stopped at the limit and leaves nothing', async () => {
  const { blobs, directory } = await filled()
  async function* endless() {
    for (;;) yield randomBytes(65_536)
  }
  await expect(blobs.put('1'.repeat(64), endless())).rejects.toMatchObject({ code: 'payload-too-large' })
  expect(readdirSync(join(directory, 'incoming'))).toEqual([])
})

test('an upload that breaks off in the middle leaves nothing', async () => {
  const { blobs, directory } = await filled()
  async function* broken() {
    yield randomBytes(100)
    throw new Error('connection reset')
  }
  await expect(blobs.put('2'.repeat(64), broken())).rejects.toThrow('connection reset')
  expect(readdirSync(join(directory, 'incoming'))).toEqual([])
})

test('what a crash left of an upload is cleared at the next start', async () => {
  const directory = scratch()
  mkdirSync(join(directory, 'incoming'), { recursive: true })
  writeFileSync(join(directory, 'incoming', 'half'), 'half a mod')
  await openDirectoryBlobs(directory, 1)
  expect(readdirSync(join(directory, 'incoming'))).toEqual([])
})

test.each(['../../etc/passwd', 'A'.repeat(64), '', `${'a'.repeat(63)}/`])(
  '%j is no name of a blob',
  async (name) => {
    const { blobs } = await filled()
    await expect(blobs.sizeOf(name)).rejects.toMatchObject({ code: 'bad-digest' })
  },
)
