import { Gauge, Registry } from 'prom-client'
import type { Fleet } from './fleet/fleet.ts'
import type { Db } from './store/database.ts'
import { countDevicesByStatus } from './store/device-store.ts'
import { version } from './version.ts'

/** A registry of this hub's own, so that two hubs in one process do not share figures. */
export function createMetrics(db: Db, fleetName: string, fleet: Pick<Fleet, 'ahead'>): Registry {
  const registry = new Registry()
  registry.setDefaultLabels({ fleet: fleetName })
  const info = {
    name: 'godwit_build_info',
    help: 'Version of this hub',
    labelNames: ['version'],
    registers: [registry],
  }
  new Gauge(info).set({ version }, 1)
  new Gauge({
    name: 'godwit_devices',
    help: 'Enrolled devices that are not revoked, by presence',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      for (const [state, count] of Object.entries(await countDevicesByStatus(db))) this.set({ state }, count)
    },
  })
  new Gauge({
    name: 'godwit_devices_ahead',
    help: 'Devices that know newer versions than this hub, as after its restore from a backup',
    registers: [registry],
    async collect() {
      this.set((await fleet.ahead()).length)
    },
  })
  return registry
}
