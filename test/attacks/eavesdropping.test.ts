import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fleet, TestDevice } from '../hub/mqtt/test-device.ts'
import { type Box, newHub } from '../hub/support/new-hub.ts'

let box: Box
let mallory: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  mallory = await TestDevice.enrolled(box, 'mallory', 11)
  await TestDevice.enrolled(box, 'victim', 12)
  await mallory.connect()
})
afterEach(async () => {
  await mallory.end()
  await box.close()
})

test.each([
  ["another device's directives", topics.downAll(fleet, 'victim')],
  ["another device's reports", topics.reported(fleet, 'victim')],
  ['everything', '#'],
  ['every device', `godwit/1/${fleet}/d/+/dn/#`],
  ['every device by a wildcard in its own name', `godwit/1/${fleet}/d/mallory/+/+`],
  ['all blocks that others fetch', `godwit/1/${fleet}/b/#`],
  ["the broker's own affairs", '$SYS/#'],
  ['another fleet', 'godwit/1/other-fleet/hub'],
])('a subscription to %s is not granted', async (_, filter) => {
  const closed = new Promise<string>((resolve) => mallory.client.once('close', () => resolve('closed')))
  const granted = mallory.client
    .subscribeAsync(filter, { qos: 1 })
    .then((all) => all.map(({ qos }) => qos).join())
    .catch(() => 'refused')
  expect(['closed', 'refused', '128']).toContain(await Promise.race([closed, granted]))
  await box.hub.services.directives.reissueExpiring(box.time.now)
  expect(mallory.received).toEqual([])
})
