import type { AddressInfo } from 'node:net'
import { Fault } from '@godwit/protocol/fault'
import { type Logger, pino } from 'pino'
import { uuidv7 } from 'uuidv7'
import { createAccess } from './access/access.ts'
import { createUsers } from './access/users.ts'
import { openDirectoryBlobs } from './blobs/directory-blobs.ts'
import type { Clock } from './clock.ts'
import type { HubConfig } from './config.ts'
import { createFeed } from './feed.ts'
import { createEnrolment } from './fleet/enrolment.ts'
import { createFleet } from './fleet/fleet.ts'
import { createKeyRotation } from './fleet/key-rotation.ts'
import { createWaitingRoom } from './fleet/waiting-room.ts'
import { housekeepingPart } from './housekeeping.ts'
import type { App } from './http/route-plugin.ts'
import { createServer } from './http/server.ts'
import { pathsIn } from './init.ts'
import { createMetrics } from './metrics.ts'
import { mqttPart } from './mqtt/mqtt-part.ts'
import { createRegistry } from './registry/registry.ts'
import { rolloutPart } from './rollout/rollout-part.ts'
import type { Part, PartFactory, Services } from './services.ts'
import { type Database, openDatabase } from './store/database.ts'
import { telemetryPart } from './telemetry/telemetry-part.ts'
import { openCertificates } from './tls/certificates.ts'
import { createDeviceCertificates } from './tls/device-certificates.ts'
import { openHubCertificates } from './tls/hub-certificates.ts'
import { createAudit } from './trust/audit.ts'
import { createDirectives } from './trust/directives.ts'
import { readHubKeys } from './trust/hub-keys.ts'
import { openRepository } from './trust/repository.ts'

/** Each may use what the ones before it have added to the services. */
const parts: readonly PartFactory[] = [telemetryPart, rolloutPart, mqttPart, housekeepingPart]

export type Addresses = {
  httpUrl: string
  mqttUrl: string
  /** At the first start, and while nobody can administer this hub: logs one browser in, once, to make an account. */
  setupLink?: string
}

export type Hub = {
  readonly services: Services
  /** The HTTP server; `inject` works before `start`. */
  readonly http: App
  /** Known once `start` came back. */
  readonly addresses: Addresses
  start(): Promise<void>
  /** Finishes what is in flight. After a kill instead, the next start finds all that was answered. */
  stop(): Promise<void>
}

export type Surroundings = { clock?: Clock; log?: Logger }

/** Builds a hub on an initialised state directory. Nothing listens, and nothing happens, before `start`. */
export async function createHub(
  config: HubConfig,
  { clock = Date.now, log }: Surroundings = {},
): Promise<Hub> {
  const logger = log ?? pino({ level: config.log.level, base: { fleet: config.fleet } }, pino.destination(2))
  const paths = pathsIn(config.stateDir)
  const keys = await readHubKeys(paths.keys)
  const { mode } = config.tls
  const own = mode === 'hub' ? await openHubCertificates(config, logger, clock) : undefined
  const certificates = mode === 'files' ? await openCertificates(config.tls, logger, clock) : own
  const database = openDatabase(paths.database)
  try {
    await checkFleet(database, config)
    const listenerFailed = (err: unknown) => logger.error({ err }, 'a listener failed')
    const { db } = database
    const feed = createFeed(db, clock, listenerFailed)
    const audit = createAudit(database, clock, feed, { fleet: config.fleet, directorSeed: keys.director })
    const blobs = await openDirectoryBlobs(paths.blobs, config.blobs.sizeBytesMax)
    const shared = { database, clock, feed, audit, listenerFailed }
    const repository = await openRepository({ ...shared, keys, metadata: config.metadata })
    const fleetName = config.fleet
    const fleet = createFleet({ ...shared, fleetName, log: logger })
    const waitingRoom = createWaitingRoom(database, clock, audit)
    const authority = own && { authority: own.authority }
    const core = {
      config,
      clock,
      log: logger,
      epoch: uuidv7(),
      database,
      blobs,
      feed,
      audit,
      repository,
      directives: createDirectives({ ...shared, config, directorSeed: keys.director }),
      fleet,
      keyRotation: createKeyRotation({ ...shared, fleetName }),
      ...(certificates && { certificates }),
      ...(authority && {
        deviceCertificates: createDeviceCertificates({ ...shared, ...authority, fleetName }),
      }),
      enrolment: createEnrolment({ ...shared, ...authority, repository, waitingRoom, fleetName }),
      waitingRoom,
      registry: createRegistry({ ...shared, blobs, limits: config.blobs }),
      access: createAccess(database, clock, audit, config.access),
      users: createUsers(database, clock, audit, config.access),
      metrics: createMetrics(db, fleetName, fleet),
      deviceFacets: [],
    }
    // The parts add what the type promises beyond these, before anybody reads it.
    const services = core as unknown as Services
    const living = parts.map((factory) => factory(services))
    const http = await createServer(services)
    services.mqtt.attach(http.server)
    return assemble(services, http, living)
  } catch (error) {
    certificates?.stop()
    await database.close()
    throw error
  }
}

function assemble(services: Services, http: App, living: readonly Part[]): Hub {
  const { access, config, database, enrolment, log } = services
  const scheme = services.certificates ? 'https' : 'http'
  const { addresses: known } = enrolment
  const started: Part[] = []
  let setupLink: string | undefined

  async function stop(): Promise<void> {
    // Takes no new requests from here on, and waits for the old ones; among those are the sockets that MQTT holds.
    const closed = http.close()
    // Whoever was busy when that began stays connected, and is idle a moment later: keep-alive is no reason to wait.
    const sweeping = setInterval(() => http.server.closeIdleConnections(), 200)
    services.certificates?.stop()
    for (const part of started.splice(0).reverse()) {
      await part.stop().catch((err: unknown) => log.error({ err, part: part.name }, 'did not stop cleanly'))
    }
    await closed.finally(() => clearInterval(sweeping))
    await database.close()
  }

  async function start(): Promise<void> {
    const { host, port, publicUrl } = config.http
    known.httpUrl = publicUrl?.replace(/\/$/, '') ?? `${scheme}://${authority(host)}:${port}`
    for (const part of living) {
      await part.start()
      started.push(part)
    }
    await listen(http, config.http)
    const { port: bound } = http.server.address() as AddressInfo
    if (publicUrl === undefined) known.httpUrl = `${scheme}://${authority(host)}:${bound}`
    if (await access.needsSetup()) {
      const { secret } = await access.createLoginLink(['admin'], 'hub')
      setupLink = `${known.httpUrl}/login?setup=1&link=${secret}`
    }
    log.info({ http: known.httpUrl, mqtt: known.mqttUrl }, 'hub is up')
  }

  return {
    services,
    http,
    get addresses() {
      return { ...known, ...(setupLink !== undefined && { setupLink }) }
    },
    async start() {
      try {
        await start()
      } catch (error) {
        await stop()
        throw error
      }
    },
    stop,
  }
}

/** The name is part of every signature's meaning: under another one, the fleet would refuse all that this hub says. */
async function checkFleet({ db }: Database, { fleet, stateDir }: HubConfig): Promise<void> {
  const row = await db.selectFrom('setting').select('value').where('key', '=', 'fleet').executeTakeFirst()
  if (!row) throw new Fault('not-initialised', `${stateDir} holds no hub: run \`godwit hub init\` first`)
  if (row.value === fleet) return
  throw new Fault(
    'wrong-fleet',
    `${stateDir} is the hub of fleet ${row.value}, the configuration says ${fleet}`,
  )
}

async function listen(app: App, { host, port }: HubConfig['http']): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const where = `${authority(host)}:${port}`
    const hint = 'Set http.port to a free port, or to 0 for any.'
    throw new Fault('cannot-listen', `HTTP cannot listen on ${where}: ${(cause as Error).message}. ${hint}`, {
      cause,
    })
  }
}

/** IPv6 addresses stand in brackets; "every address" is nobody's name, so loopback stands for it. */
function authority(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}
