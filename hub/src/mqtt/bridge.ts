import { setImmediate as nextTurn } from 'node:timers/promises'
import { blockRequest } from '@godwit/protocol/messages/blocks'
import type { HubStatus } from '@godwit/protocol/messages/hub-status'
import { birth, presenceState } from '@godwit/protocol/messages/presence'
import { progress } from '@godwit/protocol/messages/report'
import type { Ack } from '@godwit/protocol/messages/telemetry'
import type { Read } from '@godwit/protocol/schema'
import { deviceMay, topics, type UpTopic } from '@godwit/protocol/topics'
import { parseStrict } from '@godwit/protocol/trust/strict-json'
import { type EpochMs, toRfc3339 } from '@godwit/protocol/units'
import type { Services } from '../services.ts'
import { countDevicesByStatus } from '../store/device-store.ts'
import { admit, mayConnect } from './admission.ts'
import { type BlockIndex, buildBlockIndex } from './block-index.ts'
import { blockBytesPublished } from './block-metrics.ts'
import { BlockPost, type blockPostDefaults } from './block-post.ts'
import type { Admitted, Broker, Doorkeeper, Incoming } from './broker.ts'
import { RefusalLog } from './refusal-log.ts'

/** Agents spread their births and their unacked telemetry over this long after a restart. Integer milliseconds. */
const spreadMsMin = 2_000
/** What a device that comes back costs the hub, and as much again for everything else. Milliseconds of a 2020s core. */
const perDeviceMs = 4
/** SPEC 5.5 allows one in five seconds; more than one a second is not worth a row. */
const progressMsMin = 1_000
const page = 500

/**
 * Between packets and the hub's parts: what a device says is checked, made durable and answered; what the hub wants is
 * published, retained, and published again at every start and birth, because a broker is no store.
 */
export class Bridge implements Doorkeeper {
  readonly #services: Services
  readonly #refusals: RefusalLog
  readonly #blocks: BlockPost
  readonly #progressAt = new Map<string, number>()
  #broker: Broker | undefined
  #index: Promise<BlockIndex> | undefined
  #metaTopics = new Set<string>()
  #publishing: Promise<void> = Promise.resolve()
  #silence: (() => void)[] = []
  #isStopping = false

  constructor(services: Services, blockOptions: Partial<typeof blockPostDefaults> = {}) {
    this.#services = services
    this.#refusals = new RefusalLog(services)
    const published = blockBytesPublished(services.metrics)
    this.#blocks = new BlockPost({
      index: () => this.#blockIndex(),
      read: (blob, range) => services.blobs.readBlock(blob, range),
      publish: async (sha256, bytes) => {
        published.inc(bytes.length)
        await this.#broker?.publish({
          topic: topics.block(this.#fleet, sha256),
          payload: bytes,
          qos: 0,
          retain: false,
        })
      },
      failed: (error) => services.log.error({ err: error }, 'block could not be published'),
      options: blockOptions,
    })
  }

  get #fleet(): string {
    return this.#services.config.fleet
  }

  /** Before the broker listens: whoever was online when the hub went is not known to be. */
  async forgetPresence(): Promise<void> {
    for await (const devices of this.#pages()) {
      const online = devices.filter(({ status }) => status === 'online')
      await Promise.all(online.map(({ id, lastSeenAt }) => this.#setOffline(id, lastSeenAt)))
    }
  }

  /** Everything that is retained, from the database; then the news that keep it so. */
  async start(broker: Broker): Promise<void> {
    this.#broker = broker
    const { directives, repository, fleet } = this.#services
    const later = (work: () => Promise<void>) => {
      this.#publishing = this.#publishing.then(work).catch((error) => {
        this.#services.log.error({ err: error }, 'could not publish')
      })
    }
    this.#silence = [
      directives.onDirective((deviceId) => later(() => this.#publishDirective(deviceId))),
      repository.onChange(() => {
        this.#index = undefined
        later(() => this.#publishMetadata())
      }),
      fleet.onNews((deviceId, news) => {
        if (news !== 'revoked') return
        broker.kick(deviceId)
        later(() => this.#retain(topics.desired(this.#fleet, deviceId), ''))
      }),
    ]
    await this.#publishMetadata()
    for await (const devices of this.#pages()) {
      for (const { id, revokedAt } of devices) if (revokedAt === undefined) await this.#publishDirective(id)
      // Whoever connects meanwhile is not kept waiting for all of them.
      await nextTurn()
    }
    // Last: agents take it as the sign that everything else is there.
    await this.#publishStatus('online')
  }

  /** MQTT knows no will of an in-process publisher, so the farewell is said in person. */
  async stop(): Promise<void> {
    this.#isStopping = true
    for (const silence of this.#silence) silence()
    this.#blocks.stop()
    await this.#publishing
    await this.#services.fleet.flush()
    await this.#publishStatus('offline')
  }

  mayConnect(clientId: string, username: string | undefined, password: string | undefined): Promise<boolean> {
    return mayConnect(this.#services, clientId, username, password)
  }

  maySubscribe(deviceId: string, filter: string): boolean {
    const may = deviceMay(this.#fleet, deviceId, 'subscribe', filter)
    if (!may) this.#note(deviceId, 'not_authorised', `${deviceId} may not subscribe to ${filter}`, true)
    return may
  }

  forwarded(deviceId: string, sha256: string): void {
    this.#blocks.forwarded(deviceId, sha256)
  }

  gone(deviceId: string): void {
    this.#blocks.gone(deviceId)
    if (this.#isStopping) return
    this.#setOffline(deviceId).catch((error) => {
      this.#services.log.error({ err: error, deviceId }, 'presence could not be stored')
    })
  }

  async admit(deviceId: string, { topic, payload, retain }: Incoming): Promise<Admitted> {
    const admission = admit(this.#fleet, deviceId, { topic, bytes: payload.length, retain })
    if (admission.admitted) return this.#take(deviceId, admission.up, payload)
    const isAttack = admission.because === 'not_authorised'
    this.#note(deviceId, admission.because, admission.detail, isAttack)
    return isAttack ? 'close' : 'drop'
  }

  async #take(deviceId: string, up: UpTopic, payload: Uint8Array): Promise<Admitted> {
    const { fleet } = this.#services
    switch (up.kind) {
      case 'telemetry':
        return this.#takeBatch(deviceId, up.stream!, payload)
      case 'reported': {
        const verdict = await fleet.acceptReport(deviceId, payload)
        if (verdict.trusted) return 'take'
        // A retained report comes again at every connect; that is no mistake of anybody's.
        if (verdict.because !== 'rollback')
          this.#note(deviceId, 'malformed', verdict.detail, verdict.because !== 'malformed')
        return 'drop'
      }
      case 'state':
        // While the hub goes down the broker fires everybody's will. That the hub is going says nothing of them.
        if (this.#isStopping) return 'drop'
        return this.#read(deviceId, presenceState, payload, async (state) => {
          await fleet.acceptState(deviceId, state)
        })
      case 'birth':
        return this.#read(deviceId, birth, payload, async (value) => {
          await fleet.acceptBirth(deviceId, value)
          await this.#publishDirective(deviceId)
        })
      case 'progress':
        return this.#read(deviceId, progress, payload, (value) => this.#takeProgress(deviceId, value))
      case 'block-request':
        return this.#read(deviceId, blockRequest, payload, async (request) => {
          const refusal = await this.#blocks.ask(deviceId, request)
          if (refusal) await this.#send(topics.blockRefusal(this.#fleet, deviceId), refusal)
        })
    }
  }

  async #takeBatch(
    deviceId: string,
    stream: NonNullable<UpTopic['stream']>,
    payload: Uint8Array,
  ): Promise<Admitted> {
    const receipt = await this.#services.telemetry.receive(deviceId, stream, payload)
    if (!receipt.ok) {
      this.#note(deviceId, receipt.because, receipt.detail, receipt.because !== 'malformed')
      return 'drop'
    }
    // Not waited for: a device that reads slowly must not hold up its own PUBACK.
    const answer: Ack = { ...receipt.ack, time: toRfc3339(this.#services.clock()) }
    this.#send(topics.ack(this.#fleet, deviceId), answer).catch((error) => {
      this.#services.log.error({ err: error, deviceId }, 'ack could not be published')
    })
    return 'take'
  }

  async #takeProgress(deviceId: string, value: Record<string, unknown>): Promise<void> {
    const { clock, feed, database } = this.#services
    const now = clock()
    if (now - (this.#progressAt.get(deviceId) ?? Number.NEGATIVE_INFINITY) < progressMsMin) return
    this.#progressAt.set(deviceId, now)
    const data = { deviceId, progress: value }
    await feed.append(database.db, { topic: `device:${deviceId}`, type: 'device.report', data })
  }

  async #read<T>(
    deviceId: string,
    document: { name: string; check(value: unknown): Read<T> },
    payload: Uint8Array,
    use: (value: T) => Promise<void>,
  ): Promise<Admitted> {
    const parsed = parseStrict(payload)
    const read = parsed.ok ? document.check(parsed.value) : parsed
    if (read.ok) {
      await use(read.value)
      return 'take'
    }
    const detail = read.detail.startsWith(document.name) ? read.detail : `${document.name}: ${read.detail}`
    this.#note(deviceId, 'malformed', detail, false)
    return 'drop'
  }

  /** @param seenAt now, if it is not known better */
  async #setOffline(deviceId: string, seenAt?: EpochMs): Promise<void> {
    const { fleet, clock } = this.#services
    const device = await fleet.device(deviceId)
    // A newer connection of the same device has its own say.
    if (device?.status !== 'online' || this.#broker?.isConnected(deviceId)) return
    const { bootId = '', connection } = device
    await fleet.acceptState(deviceId, { status: 'offline', bootId, connection, at: clock() }, seenAt)
  }

  #note(deviceId: string, because: string, detail: string, isAttack: boolean): void {
    this.#refusals.note(deviceId, because, detail, isAttack).catch((error) => {
      this.#services.log.error({ err: error, deviceId }, 'refusal could not be recorded')
    })
  }

  #blockIndex(): Promise<BlockIndex> {
    this.#index ??= buildBlockIndex(this.#services.registry)
    return this.#index
  }

  async #publishStatus(status: HubStatus['status']): Promise<void> {
    const { epoch, clock, database } = this.#services
    const { online, sleeping, offline } = await countDevicesByStatus(database.db)
    const retryAfterMs = Math.max(spreadMsMin, perDeviceMs * (online + sleeping + offline))
    const { downloadSpreadMs } = this.#services.config.blobs
    const value: HubStatus = {
      ...{ status, epoch, time: toRfc3339(clock()), retryAfterMs },
      ...(downloadSpreadMs > 0 && { downloadSpreadMs }),
    }
    await this.#retain(topics.hub(this.#fleet), JSON.stringify(value))
  }

  /** Old versions of snapshot and targets go, or every device would be sent all of them at every connect. */
  async #publishMetadata(): Promise<void> {
    const documents = await this.#services.repository.current()
    const topicOf = (document: { role: string; version?: number }) =>
      topics.meta(this.#fleet, document.role, document.version)
    const now = new Set(documents.map(topicOf))
    // The timestamp is what makes a client look: everything it names is there before it.
    const ordered = [...documents].sort(
      (a, b) => Number(a.role === 'timestamp') - Number(b.role === 'timestamp'),
    )
    for (const document of ordered) {
      // A version never changes: said once, it is retained. Only the timestamp says something new under the same name.
      if (document.role === 'timestamp' || !this.#metaTopics.has(topicOf(document)))
        await this.#retain(topicOf(document), document.bytes)
    }
    for (const topic of this.#metaTopics) if (!now.has(topic)) await this.#retain(topic, '')
    this.#metaTopics = now
  }

  async #publishDirective(deviceId: string): Promise<void> {
    const envelope = await this.#services.directives.current(deviceId)
    if (envelope) await this.#retain(topics.desired(this.#fleet, deviceId), envelope)
  }

  async #retain(topic: string, payload: Uint8Array | string): Promise<void> {
    await this.#broker?.publish({ topic, payload, qos: 1, retain: true })
  }

  async #send(topic: string, value: unknown): Promise<void> {
    await this.#broker?.publish({ topic, payload: JSON.stringify(value), qos: 1, retain: false })
  }

  async *#pages() {
    let after = ''
    for (;;) {
      const devices = await this.#services.fleet.devices({ limit: page, after })
      yield devices
      if (devices.length < page) return
      after = devices[devices.length - 1]!.id
    }
  }
}
