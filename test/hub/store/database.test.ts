import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { openDatabase } from '@godwit/hub/store/database'
import { migrate } from '@godwit/hub/store/migrate'
import { expect, onTestFinished, test } from 'vitest'
import { scratch } from '../support/scratch.ts'

function open(path = join(scratch(), 'hub.db')) {
  const database = openDatabase(path)
  onTestFinished(() => database.close())
  return database
}

const put = (key: string) => ({ key, value: 'x' })

test('what was committed is there after the database is opened again', async () => {
  const path = join(scratch(), 'hub.db')
  const first = openDatabase(path)
  await first.db.insertInto('setting').values(put('a')).execute()
  await first.close()
  expect(await open(path).db.selectFrom('setting').select('key').execute()).toEqual([{ key: 'a' }])
})

test('a transaction that throws leaves nothing behind', async () => {
  const { db, transaction } = open()
  const failing = transaction(async (trx) => {
    await trx.insertInto('setting').values(put('a')).execute()
    throw new Error('power cut')
  })
  await expect(failing).rejects.toThrow('power cut')
  expect(await db.selectFrom('setting').selectAll().execute()).toEqual([])
})

test("another caller's write waits for a transaction, and is not lost with it", async () => {
  const { db, transaction } = open()
  let fail = () => {}
  const failed = new Promise<void>((_, reject) => {
    fail = () => reject(new Error('rolled back'))
  })
  let begun = () => {}
  const isBegun = new Promise<void>((resolve) => {
    begun = resolve
  })
  const first = transaction(async (trx) => {
    await trx.insertInto('setting').values(put('inside')).execute()
    begun()
    await failed
  })
  await isBegun
  const second = db.insertInto('setting').values(put('outside')).execute()
  fail()
  await expect(first).rejects.toThrow('rolled back')
  await second
  expect(await db.selectFrom('setting').select('key').execute()).toEqual([{ key: 'outside' }])
})

test('transactions that read, wait and write do not interleave', async () => {
  const { db, transaction } = open()
  await db.insertInto('setting').values({ key: 'n', value: '0' }).execute()
  const addOne = () =>
    transaction(async (trx) => {
      const { value } = await trx
        .selectFrom('setting')
        .select('value')
        .where('key', '=', 'n')
        .executeTakeFirstOrThrow()
      await new Promise((resolve) => setImmediate(resolve))
      await trx
        .updateTable('setting')
        .set({ value: `${Number(value) + 1}` })
        .where('key', '=', 'n')
        .execute()
    })
  await Promise.all(Array.from({ length: 20 }, addOne))
  expect(await db.selectFrom('setting').select('value').executeTakeFirst()).toEqual({ value: '20' })
})

test('a query that would wait for the transaction it stands in throws instead', async () => {
  const { db, transaction } = open()
  const stuck = transaction(() => db.selectFrom('setting').selectAll().execute())
  await expect(stuck).rejects.toMatchObject({ code: 'store-misuse' })
  await expect(transaction(() => transaction(async () => 1))).rejects.toMatchObject({ code: 'store-misuse' })
  // And the store still works.
  expect(await db.selectFrom('setting').selectAll().execute()).toEqual([])
})

test('a file that is no database is named and left as it is', () => {
  const path = join(scratch(), 'hub.db')
  writeFileSync(path, 'these are my holiday pictures'.repeat(100))
  const before = readFileSync(path)
  expect(() => openDatabase(path)).toThrow(
    expect.objectContaining({ code: 'store-corrupt', message: expect.stringContaining(path) }),
  )
  expect(readFileSync(path)).toEqual(before)
})

test('a database with damaged pages is refused before anything is written', async () => {
  const path = join(scratch(), 'hub.db')
  const database = openDatabase(path)
  for (let i = 0; i < 200; i++)
    await database.db
      .insertInto('setting')
      .values({ key: `${i}`, value: 'v'.repeat(500) })
      .execute()
  await database.close()
  const bytes = readFileSync(path)
  bytes.fill(0xa5, 4_096 * 20, 4_096 * 60)
  writeFileSync(path, bytes)
  expect(() => openDatabase(path)).toThrow(expect.objectContaining({ code: 'store-corrupt' }))
  expect(readFileSync(path).equals(bytes)).toBe(true)
})

test('a database of a newer hub is refused, with the migration it has', async () => {
  const path = join(scratch(), 'hub.db')
  await openDatabase(path).close()
  const raw = new DatabaseSync(path)
  raw.exec("insert into migration (name, applied_at) values ('999-future', 0)")
  raw.close()
  expect(() => openDatabase(path)).toThrow(
    expect.objectContaining({ code: 'store-newer', message: expect.stringContaining('999-future') }),
  )
})

test('a migration that fails half-way leaves nothing of itself', () => {
  const sqlite = new DatabaseSync(':memory:')
  const broken = { name: '001-broken', statements: ['create table a (x)', 'create table a (x)'] }
  expect(() => migrate(sqlite, ':memory:', [broken])).toThrow(
    expect.objectContaining({ code: 'store-migration' }),
  )
  expect(sqlite.prepare("select name from sqlite_master where name = 'a'").all()).toEqual([])
  expect(sqlite.prepare('select name from migration').all()).toEqual([])
})
