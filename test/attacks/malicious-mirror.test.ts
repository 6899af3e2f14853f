import { afterEach, beforeEach, expect, test } from 'vitest'
import { Device } from '../agent/control/support/device.ts'
import { FakeHub } from '../agent/control/support/fake-hub.ts'

let hub: FakeHub
let device: Device
beforeEach(async () => {
  hub = await FakeHub.start()
})
afterEach(async () => {
  await device.remove()
  await hub.stop()
})

test.each(['mqtt', 'http', 'auto'])(
  'a release tampered with on the way over %s is refused before it loads',
  async (via) => {
    device = new Device(hub, { download: { via } })
    await device.start()
    await hub.ended(hub.direct(hub.publishRelease('1')))
    hub.tamper = (_blob, index, bytes) => (index === 1 ? Buffer.from(bytes.fill(7)) : bytes)
    await hub.ended(hub.direct(hub.publishRelease('2', { paddingBytes: 100_000 })))
    expect(hub.slot).toMatchObject({ phase: 'refused', code: 'integrity', active: { version: '1' } })
  },
)
