import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../support/new-hub.ts'

let box: Box
beforeEach(async () => {
  box = await newHub()
  const { audit, database } = box.hub.services
  for (const subject of ['a', 'b', 'c']) {
    await database.transaction((trx) =>
      audit.append(trx, { who: 'x', action: 'test.do', subject, detail: { part: 0.1 } }),
    )
  }
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
  await database.db.updateTable('audit').set({ who: 'somebody else' }).where('id', '=', 2).execute()
  expect(await audit.verifyChain()).toBe(2)
})

test('an entry taken out shows at the one after it', async () => {
  const { audit, database } = box.hub.services
  await database.db.deleteFrom('audit').where('id', '=', 2).execute()
  expect(await audit.verifyChain()).toBe(3)
})

test('a deed that is rolled back leaves no entry', async () => {
  const { audit, database } = box.hub.services
  const failing = database.transaction(async (trx) => {
    await audit.append(trx, { who: 'x', action: 'test.do', subject: 'd' })
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(await audit.before(undefined, 10)).toHaveLength(3)
})
