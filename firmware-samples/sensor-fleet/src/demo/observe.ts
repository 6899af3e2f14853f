import type { EventRecord } from '@godwit/protocol/messages/telemetry'
import type { HubClient } from './hub-client.ts'

/** The parts of the hub's answers that the story reads. */
export type DeviceView = {
  id: string
  status: string
  report?: {
    slots: Record<
      string,
      {
        phase: string
        active?: { version: string; executionProvider: string; proof: string; loadedDigest: string }
        code?: string
        detail?: string
      }
    >
  }
}
export type DriftView = {
  deviceId: string
  version: string
  state: string
  evidence: number
  peak: number
  threshold: number
  windows: number
}
export type RolloutView = {
  id: string
  phase: string
  sentence: string
  waves: { name: string; state: string }[]
}
export type RolloutDeviceView = {
  deviceId: string
  wave: number
  state: string
  code?: string | null
  detail?: string | null
}
export type EnergyView = {
  items: {
    key: string
    joules: number | null
    grams: number | null
    label: string | null
    coverage: number | null
    inferences: number
  }[]
  factor: { zone: string; gramsPerKilowattHour: number; source: string }
}
export type StreamView = {
  session: string
  stream: string
  contiguous: number
  highest: number
  stored: number
  duplicates: number
  missing: { first: number; last: number; reason: string }[]
  dropped: { first: number; last: number; reason: string }[]
  forgotten: number
}
export type EventView = EventRecord & { deviceId: string }
export type WindowView = {
  version: string
  readings: number
  inferences: number
  errors: number
  warmUp: number
  session: string
  seq: number
  start: string
}

/** Questions the story asks, each answered by the hub. */
export class Observer {
  readonly #hub: HubClient

  constructor(hub: HubClient) {
    this.#hub = hub
  }

  device(id: string): Promise<DeviceView> {
    return this.#hub.get(`/api/v1/devices/${id}`)
  }

  async activeVersion(id: string): Promise<string | undefined> {
    return (await this.device(id)).report?.slots['default']?.active?.version
  }

  async phase(id: string): Promise<string | undefined> {
    return (await this.device(id)).report?.slots['default']?.phase
  }

  drift(version: string): Promise<DriftView[]> {
    return this.#hub
      .all<DriftView>('/api/v1/drift')
      .then((all) => all.filter((verdict) => verdict.version === version))
  }

  rollout(id: string): Promise<RolloutView> {
    return this.#hub.get(`/api/v1/rollouts/${id}`)
  }

  rolloutDevices(id: string): Promise<RolloutDeviceView[]> {
    return this.#hub.all(`/api/v1/rollouts/${id}/devices`)
  }

  energy(): Promise<EnergyView> {
    return this.#hub.get('/api/v1/energy?groupBy=version')
  }

  streams(id: string): Promise<StreamView[]> {
    return this.#hub.all(`/api/v1/devices/${id}/completeness`)
  }

  windows(id: string): Promise<WindowView[]> {
    return this.#hub.all(`/api/v1/devices/${id}/windows?limit=200`)
  }

  events(id: string): Promise<EventView[]> {
    return this.#hub.all(`/api/v1/telemetry/events?deviceId=${id}&limit=1000`)
  }

  anomalies(id: string): Promise<EventView[]> {
    return this.#hub.all(`/api/v1/telemetry/events?kind=anomaly&deviceId=${id}&limit=200`)
  }
}
