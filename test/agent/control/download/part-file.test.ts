import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Budget } from '@godwit/agent/control/download/budget'
import { Ledger } from '@godwit/agent/control/download/ledger'
import { blocksHeld, PartFile } from '@godwit/agent/control/download/part-file'
import { pathsIn } from '@godwit/agent/control/paths'
import { openDatabase } from '@godwit/agent/control/state/database'
import { blockRange, describeFile } from '@godwit/protocol/release/blocks'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const bytes = new Uint8Array(40 * 65_536).map((_, i) => i % 251)
const file = describeFile(bytes)

describe('a blob on its way to the disk', () => {
  let directory: string
  let monotonicMs: number
  let batches: number
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'godwit-part-'))
    monotonicMs = 0
    batches = 0
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  async function opened() {
    const paths = pathsIn(directory)
    const { database } = openDatabase(paths.database, 0)
    const part = await PartFile.open(paths, file, database, {
      ...{ clock: { monotonicMs: () => monotonicMs }, unkept: undefined, isKnown: true },
      alongside: () => batches++,
    })
    const write = (index: number) => {
      const { offset, length } = blockRange(file, index)
      return part.write(index, bytes.subarray(offset, offset + length))
    }
    const held = () => [...blocksHeld(database, file.sha256)]
    return { part, write, held, database }
  }

  test('a block that comes alone on a slow link is journalled without waiting for the next', async () => {
    const { part, write, held, database } = await opened()
    monotonicMs = 2_500
    await write(7)
    await part.close()
    expect(held()).toEqual([7])
    database.close()
  })

  test('a fast link costs a sync for each quarter of the blob, whose cost is stored in the same transaction', async () => {
    const { part, write, held, database } = await opened()
    for (const index of file.blocks.keys()) await write(index)
    await part.flush()
    expect(held()).toHaveLength(40)
    // Four full ones, and the rest.
    expect(batches).toBe(5)
    await part.close()
    database.close()
  })

  test('a journal entry that fails with what its blocks cost leaves neither', async () => {
    const { part, write, held, database } = await opened()
    await write(0)
    const failing = await PartFile.open(pathsIn(directory), file, database, {
      ...{ clock: { monotonicMs: () => 0 }, unkept: part.unkept, isKnown: true },
      alongside: () => {
        throw new Error('disk full')
      },
    })
    await expect(failing.flush()).rejects.toThrow('disk full')
    expect(held()).toEqual([])
    expect([...failing.unkept.keys()]).toEqual([0])
    await Promise.all([part.close(), failing.close()])
    database.close()
  })
})

test.each([
  ['a link without a budget', {}],
  ['a link with a budget for the day', { dayBytesMax: 20_000_000 }],
])('over %s a killed process has counted all but a sixteenth of its plan', (_name, limits) => {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-count-'))
  const { database } = openDatabase(join(directory, 'agent.db'), 0)
  const rules = { overheadPercent: 25, overheadBytesMin: 262_144, retriesMax: 64 }
  const budget = new Budget(
    new Ledger(database, () => 0),
    { ...rules, metered: limits, unmetered: {} },
    () => 'metered',
  )
  budget.plan('release', 'bundle', 10_000_000)
  for (let i = 0; i < 50; i++) budget.charge('release', 65_536)
  const other = openDatabase(join(directory, 'agent.db'), 0)
  const { receivedBytes } = new Ledger(other.database, () => 0).account('release')
  expect(receivedBytes).toBeGreaterThan(50 * 65_536 - 12_500_000 / 16)
  other.database.close()
  database.close()
  rmSync(directory, { recursive: true })
})
