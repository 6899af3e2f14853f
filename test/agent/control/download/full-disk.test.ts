import { randomBytes } from 'node:crypto'
import { cpSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@godwit/agent/control/clock'
import type { BlockSource, Delivery } from '@godwit/agent/control/download/block-source'
import { settleBlob } from '@godwit/agent/control/download/part-file'
import { describeFile } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { newDownloader } from '../../../support/new-downloader.ts'
import { fillDisk, mayMount, mountTmpfs, unmountTmpfs } from '../../../support/tmpfs.ts'

const bytes = new Uint8Array(randomBytes(3_000_000))
const file = describeFile(bytes)
const quiet = new AbortController().signal
/** Of the plan, beyond the file itself: a quarter of it, or 256 KiB. */
const overheadBytes = 750_000

let directory: string
const closing: (() => unknown)[] = []
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-download-'))
})
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close()
  rmSync(directory, { recursive: true, force: true })
})

/** Like the broker: what was asked for comes, whether there is a place for it or not. */
class Broker implements BlockSource {
  readonly name = 'mqtt'
  readonly cost = 'link'
  readonly asked: number[] = []
  onBlock: (index: number) => unknown = () => {}

  async fetch({ wanted, received, take }: Delivery) {
    this.asked.push(wanted.length)
    for (const window of [wanted.slice(0, 20), wanted.slice(20)]) {
      let trouble: unknown
      for (const block of window) {
        await this.onBlock(block.index)
        received(block.length)
        await take(block, bytes.slice(block.offset, block.offset + block.length)).catch((because) => {
          trouble ??= because
        })
      }
      if (trouble) return { end: 'retryable', code: 'link_lost', detail: `${trouble}` } as const
    }
    return { end: 'complete' } as const
  }
}

function made(broker: Broker, at = directory) {
  const all = newDownloader(at, { sources: [broker], clock: systemClock, random: () => 0.01 })
  closing.push(all.close)
  return all
}

const fetched = ({ downloader, release }: ReturnType<typeof made>) =>
  downloader.fetch(release, file, quiet, () => {})

async function isWhole({ paths, database }: ReturnType<typeof made>) {
  return settleBlob(paths, file, database)
}

test('a database that takes no entries costs what was on its way, once', async () => {
  const broker = new Broker()
  const all = made(broker)
  await all.downloader.plan(all.release, 'bundle', [file])
  broker.onBlock = (index) => {
    if (index !== 10) return
    for (const table of ['block', 'meta'])
      all.database.run(
        `CREATE TRIGGER full_${table} BEFORE INSERT ON ${table} BEGIN SELECT RAISE(ABORT, 'full'); END`,
      )
  }
  for (let i = 0; i < 5; i++) await expect(fetched(all)).rejects.toThrow()
  expect(broker.asked).toHaveLength(1)
  for (const table of ['block', 'meta']) all.database.run(`DROP TRIGGER full_${table}`)
  expect(await fetched(all)).toEqual({ end: 'complete' })
  expect(await isWhole(all)).toBe(true)
  expect(all.budget.room(all.release.releaseDigest)).toBe(overheadBytes)
})

test('what a killed process had written and not entered is found in its part file', async () => {
  const broker = new Broker()
  const all = made(broker)
  await all.downloader.plan(all.release, 'bundle', [file])
  const image = `${directory}/image`
  broker.onBlock = (index) => {
    if (index === 9) for (const name of ['blobs', 'agent.db', 'agent.db-wal']) copy(name, image)
  }
  expect(await fetched(all)).toEqual({ end: 'complete' })
  const after = new Broker()
  const again = made(after, image)
  expect(again.database.all('SELECT * FROM block')).toEqual([])
  expect(await fetched(again)).toEqual({ end: 'complete' })
  expect(after.asked).toEqual([file.blocks.length - 9])
  expect(await isWhole(again)).toBe(true)
})

function copy(name: string, to: string): void {
  cpSync(join(directory, name), join(to, name), { recursive: true, force: true })
}

describe.skipIf(!mayMount())('on a disk of its own (skipped where mounting is not allowed)', () => {
  beforeEach(() => mountTmpfs(directory))
  afterEach(() => unmountTmpfs(directory))

  test.for([0, 5, 30])('one that is full from block %i on costs what was on its way, once', async (from) => {
    const broker = new Broker()
    const all = made(broker)
    await all.downloader.plan(all.release, 'bundle', [file])
    const ballast = join(directory, 'ballast')
    broker.onBlock = (index) => {
      if (index === from) fillDisk(ballast)
    }
    await expect(fetched(all)).rejects.toThrow(/ENOSPC|full/)
    for (let i = 0; i < 5; i++) await fetched(all).catch(() => {})
    expect(broker.asked).toHaveLength(1)
    rmSync(ballast)
    expect(await fetched(all)).toEqual({ end: 'complete' })
    expect(await isWhole(all)).toBe(true)
    expect(all.budget.room(all.release.releaseDigest)).toBe(overheadBytes)
  })

  test('one without room for all of it is not begun', async () => {
    const broker = new Broker()
    const all = made(broker)
    await all.downloader.plan(all.release, 'bundle', [file])
    const ballast = join(directory, 'ballast')
    fillDisk(ballast)
    truncateSync(ballast, statSync(ballast).size - 1_000_000)
    expect(await fetched(all)).toMatchObject({ end: 'waiting', code: 'no_space' })
    expect(broker.asked).toEqual([])
  })
})
