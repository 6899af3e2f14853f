import { checkpointAfterMs, checkpointEveryEntries } from '@godwit/hub/trust/audit-checkpoint'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'

let box: Box
/** Entries that a new hub begins with. */
let base: number
const append = (subject: string) => {
  const { audit, database } = box.hub.services
  const entry = { who: 'x', action: 'test.do', subject, detail: { part: 0.1 } }
  return database.transaction((trx) => audit.append(trx, entry))
}
const checkpoints = async () => {
  const rows = await box.hub.services.database.db.selectFrom('audit_checkpoint').selectAll().execute()
  return rows.map(({ last_id }) => last_id)
}
beforeEach(async () => {
  box = await newHub()
  base = (await box.hub.services.audit.before(undefined, 100)).length
  for (const subject of ['a', 'b', 'c']) await append(subject)
})
afterEach(() => box.close())

test('an untouched audit verifies', async () => {
  expect(await box.hub.services.audit.verifyChain()).toBeUndefined()
  expect(await box.hub.services.audit.before(undefined, 1)).toMatchObject([
    { subject: 'c', detail: { part: 0.1 } },
  ])
})

test('an edited entry shows', async () => {
  const { audit, database } = box.hub.services
  await database.db
    .updateTable('audit')
    .set({ who: 'somebody else' })
    .where('id', '=', base + 2)
    .execute()
  expect(await audit.verifyChain()).toBe(base + 2)
})

test('an entry taken out shows at the one after it', async () => {
  const { audit, database } = box.hub.services
  await database.db
    .deleteFrom('audit')
    .where('id', '=', base + 2)
    .execute()
  expect(await audit.verifyChain()).toBe(base + 3)
})

test('entries taken off the end show when a checkpoint speaks of them', async () => {
  const { audit, database } = box.hub.services
  await audit.checkpointIfDue(box.time.now)
  await database.db
    .deleteFrom('audit')
    .where('id', '=', base + 3)
    .execute()
  expect(await audit.verifyChain()).toBe(base + 3)
})

test('a chain written anew shows at the first checkpoint behind the change', async () => {
  const { audit, database } = box.hub.services
  await audit.checkpointIfDue(box.time.now)
  const { db } = database
  await db
    .deleteFrom('audit')
    .where('id', '>=', base + 2)
    .execute()
  await append('another b')
  await append('another c')
  expect(await audit.verifyChain()).toBe(base + 3)
})

test('a deed that is rolled back leaves no entry', async () => {
  const { audit, database } = box.hub.services
  const failing = database.transaction(async (trx) => {
    await audit.append(trx, { who: 'x', action: 'test.do', subject: 'd' })
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(await audit.before(undefined, 10)).toHaveLength(base + 3)
})

test('the first entries are signed for at once, later ones when they have waited', async () => {
  const { audit } = box.hub.services
  expect(await audit.checkpointIfDue(box.time.now)).toBe(true)
  expect(await audit.checkpointIfDue(box.time.now + 10 * checkpointAfterMs)).toBe(false)
  await append('d')
  expect(await audit.checkpointIfDue(box.time.now + checkpointAfterMs - 1)).toBe(false)
  expect(await audit.checkpointIfDue(box.time.now + checkpointAfterMs)).toBe(true)
  expect(await checkpoints()).toEqual([base + 3, base + 4])
})

test('many entries are signed for without waiting', async () => {
  for (let i = base + 3; i < checkpointEveryEntries + 1; i++) await append(`${i}`)
  expect(await checkpoints()).toEqual([checkpointEveryEntries])
})
