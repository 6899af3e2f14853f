import { Profiles } from '../drift/profiles.ts'
import { DriftBook, driftVerdicts } from '../drift/verdicts.ts'
import { factorFor } from '../energy/factor.ts'
import type { DeviceFacet, Part, Services } from '../services.ts'
import { completenessOf, summaryOf } from './completeness.ts'
import { energyView } from './energy-view.ts'
import { energyBy, rollup } from './rollup.ts'
import { Telemetry } from './telemetry.ts'

declare module '../services.ts' {
  interface Services {
    telemetry: Telemetry
  }
}

export function telemetryPart(services: Services): Part {
  const telemetry = new Telemetry(services, new DriftBook(new Profiles(services.blobs), services.feed))
  services.telemetry = telemetry
  services.deviceFacets.push(facetOf(services))
  return { name: 'telemetry', start: async () => {}, stop: () => telemetry.flush() }
}

/** What telemetry knows of a device. A row of a list gets the verdicts alone, because the rest reads every window. */
function facetOf({ database: { db }, config }: Services): DeviceFacet {
  const factor = factorFor(config.carbon.zone)
  return async (deviceId, depth) => {
    const drift = await driftVerdicts(db, { deviceId })
    if (depth === 'row') return { drift: drift.map(({ features: _, ...verdict }) => verdict) }
    const [energy] = await energyBy(db, 'device', factor, { deviceId })
    return {
      drift,
      energy: energy ? energyView(energy) : null,
      telemetry: summaryOf(await completenessOf(db, deviceId)),
      releases: await rollup(db, deviceId),
    }
  }
}
