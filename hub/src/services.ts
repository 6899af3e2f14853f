import type { Logger } from 'pino'
import type { Registry as MetricsRegistry } from 'prom-client'
import type { Access } from './access/access.ts'
import type { Users } from './access/users.ts'
import type { Blobs } from './blobs/blobs.ts'
import type { Clock } from './clock.ts'
import type { HubConfig } from './config.ts'
import type { Feed } from './feed.ts'
import type { Enrolment } from './fleet/enrolment.ts'
import type { Fleet } from './fleet/fleet.ts'
import type { DeviceKeyRotation } from './fleet/key-rotation.ts'
import type { WaitingRoom } from './fleet/waiting-room.ts'
import type { Mqtt } from './mqtt/mqtt-part.ts'
import type { Registry } from './registry/registry.ts'
import type { RolloutEngine } from './rollout/engine.ts'
import type { Database } from './store/database.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import type { Certificates } from './tls/certificates.ts'
import type { DeviceCertificates } from './tls/device-certificates.ts'
import type { Audit } from './trust/audit.ts'
import type { Directives } from './trust/directives.ts'
import type { Repository } from './trust/repository.ts'

/** What the parts of a hub share. Built once in `wiring.ts`; a part takes the whole of it and reads what it needs. */
export interface Services {
  readonly config: HubConfig
  readonly clock: Clock
  readonly log: Logger
  /** New at each start: what the hub status on MQTT calls its epoch. */
  readonly epoch: string
  readonly database: Database
  readonly blobs: Blobs
  readonly feed: Feed
  readonly audit: Audit
  readonly repository: Repository
  readonly directives: Directives
  readonly fleet: Fleet
  readonly keyRotation: DeviceKeyRotation
  readonly enrolment: Enrolment
  readonly waitingRoom: WaitingRoom
  readonly registry: Registry
  readonly access: Access
  readonly users: Users
  readonly metrics: MetricsRegistry
  /** Absent: this hub speaks plain HTTP and MQTT. */
  readonly certificates?: Certificates
  /** Absent: this hub makes no certificates. */
  readonly deviceCertificates?: DeviceCertificates
  /** A part that knows more of devices (drift, energy, completeness) pushes a function here. */
  readonly deviceFacets: DeviceFacet[]

  // Each of these is put here by its part's factory, before any route is registered.
  telemetry: Telemetry
  rollouts: RolloutEngine
  mqtt: Mqtt
}

/** Fields to add to `GET /api/v1/devices/:id` (`full`) and to each row of the list (`row`: cheap ones only). */
export type DeviceFacet = (deviceId: string, depth: 'row' | 'full') => Promise<Record<string, unknown>>

/** A piece of the hub with a life of its own: started in the order of wiring, stopped in reverse. */
export type Part = {
  readonly name: string
  start(): Promise<void>
  /** Finishes what is in flight. Called once, and only after `start` came back. */
  stop(): Promise<void>
}

/** Built before the HTTP server, started after it: `mqtt/mqtt-part.ts` exports one named `mqttPart`, and so on. */
export type PartFactory = (services: Services) => Part
