import { Fault } from '@godwit/protocol/fault'
import { ackBytesMax, blockBytesMax, directiveBytesMax } from '@godwit/protocol/limits'
import { type BlockRefusal, blockRefusal } from '@godwit/protocol/messages/blocks'
import { hubStatus } from '@godwit/protocol/messages/hub-status'
import type { PresenceState } from '@godwit/protocol/messages/presence'
import type { Progress } from '@godwit/protocol/messages/report'
import { type Ack, ack } from '@godwit/protocol/messages/telemetry'
import { parseBlockTopic, parseMetaTopic, type Stream, topics } from '@godwit/protocol/topics'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { type DurationMs, fromRfc3339 } from '@godwit/protocol/units'
import { AskedMetadata } from './asked-metadata.ts'
import type { Clock, TrustedTime } from './clock.ts'
import type { BlockLink } from './download/mqtt-source.ts'
import { tokenFor } from './hub-http.ts'
import type { Identity } from './identity.ts'
import type { BackoffLimits } from './link/backoff.ts'
import { type Credentials, Link, type Outgoing } from './link/link.ts'
import { refusalLimits } from './link/refused-publishes.ts'
import type { TlsMaterial } from './link/tls.ts'
import { because, type Log } from './log.ts'
import type { Sender } from './spool/sender.ts'

export type UplinkDeps = {
  identity: Identity
  time: TrustedTime
  clock: Clock
  random: () => number
  log: Log
  mqttUrl: string
  backoff: BackoffLimits
  tls: () => TlsMaterial
  sender: Sender
  bootId: string
  nextConnection: () => number
  /** Documents made anew at each sending. */
  makeBirth: (connection: number) => object
  makeReport: () => Uint8Array
  onMetadata: (topic: string, payload: Uint8Array) => void
  onDirective: (payload: Uint8Array) => void
  onUp: () => void
  onUnauthorised: () => Promise<void>
  onQuarantined: (key: string) => void
}

const progressMsMin = 5_000
/** The hub's word is not signed: whoever forges it delays a download by an hour. */
const downloadSpreadMsMax = 3_600_000
/** Nor is this word: it holds a birth up for so long at most. */
const birthSpreadMsMax = 600_000
/** Changes close together make one report. */
const reportDelayMs = 50
/** Less is the network's. */
const skewChangeMsMin = 5_000
/** Between two looks at whether a batch that is withheld may go. */
const withheldMs = 500

/** What the device says and hears over MQTT: one method or branch per topic, no decisions about models. */
export class Uplink {
  readonly #deps: UplinkDeps
  readonly #link: Link
  readonly #fleet: string
  readonly #device: string
  readonly #blockListeners = new Set<(sha256: string, bytes: Uint8Array) => void>()
  readonly #refusalListeners = new Set<(refusal: BlockRefusal) => void>()
  readonly #asked = new AskedMetadata()
  #connection = 0
  #hubEpoch: string | undefined
  #downloadSpreadMs = 0
  #isHubThere = false
  #reportTimer: NodeJS.Timeout | undefined
  #birthTimer: NodeJS.Timeout | undefined
  #lastProgressMs = Number.NEGATIVE_INFINITY

  constructor(deps: UplinkDeps) {
    this.#deps = deps
    this.#fleet = deps.identity.enrolment.fleet
    this.#device = deps.identity.enrolment.deviceId
    this.#link = new Link(
      {
        credentials: () => this.#credentials(),
        connected: () => this.#connected(),
        disconnected: () => this.#disconnected(),
        message: (topic, payload) => this.#heard(topic, payload),
        unauthorised: deps.onUnauthorised,
        quarantined: (key) => this.#quarantined(key),
        released: () => this.#introduce(),
      },
      deps.backoff,
      deps,
    )
  }

  get isUp(): boolean {
    return this.#link.isUp
  }

  /** Both the broker and the hub behind it. */
  get isHubThere(): boolean {
    return this.#link.isUp && this.#isHubThere
  }

  /** What the hub asks devices to spread their downloads over. */
  get downloadSpreadMs(): DurationMs {
    return this.#downloadSpreadMs
  }

  start(): void {
    this.#link.start([
      topics.hub(this.#fleet),
      // The rest is asked for by name when the timestamp names something new: on most days, nothing.
      topics.meta(this.#fleet, 'timestamp'),
      topics.metaRoots(this.#fleet),
      topics.downAll(this.#fleet, this.#device),
    ])
  }

  /** A retained document by its name; undefined when there is no link, or it does not come. */
  async metadata(role: string, version: number): Promise<Uint8Array | undefined> {
    if (!this.#link.isUp) return undefined
    return this.#asked.ask(topics.meta(this.#fleet, role, version), this.#link)
  }

  /** Says where the device goes, then goes. */
  async stop(status: 'offline' | 'sleeping'): Promise<void> {
    clearTimeout(this.#reportTimer)
    clearTimeout(this.#birthTimer)
    if (this.#link.isUp) await this.#publish(this.#state(status)).catch(() => {})
    await this.#link.stop()
  }

  /** The blocks' view of the link. */
  get blocks(): BlockLink {
    const link = this.#link
    const topicsOf = (sha256s: readonly string[]) =>
      sha256s.map((sha256) => topics.block(this.#fleet, sha256))
    return {
      get isUp() {
        return link.isUp
      },
      subscribe: (sha256s) => link.subscribe(topicsOf(sha256s)),
      unsubscribe: (sha256s) => link.unsubscribe(topicsOf(sha256s)),
      request: (request) =>
        this.#publish({
          topic: topics.blockRequest(this.#fleet, this.#device),
          payload: json(request),
          qos: 1,
        }),
      onBlock: (listen) => registered(this.#blockListeners, listen),
      onRefusal: (listen) => registered(this.#refusalListeners, listen),
    }
  }

  /** Soon, and once for all changes until then. Without a link, the next connection does it. */
  reportSoon(): void {
    if (this.#reportTimer !== undefined || !this.#link.isUp) return
    this.#reportTimer = setTimeout(() => {
      this.#reportTimer = undefined
      void this.#say('report', () => ({
        topic: topics.reported(this.#fleet, this.#device),
        payload: this.#deps.makeReport(),
        qos: 1,
        retain: true,
        key: 'report',
      }))
    }, reportDelayMs)
  }

  progress(progress: Progress): void {
    const nowMs = this.#deps.clock.monotonicMs()
    if (!this.#link.isUp || nowMs - this.#lastProgressMs < progressMsMin) return
    this.#lastProgressMs = nowMs
    void this.#say('progress', () => ({
      topic: topics.progress(this.#fleet, this.#device),
      payload: json(progress),
      qos: 0,
    }))
  }

  /** Sends what is due. Telemetry waits for the hub itself: a broker alone would take it and lose it. */
  pump(): void {
    if (!this.isHubThere) return
    const nowMs = this.#deps.clock.monotonicMs()
    for (const { stream, bytes, first } of this.#deps.sender.due(nowMs)) {
      // By its first record: the batch may be a longer one when it goes again.
      const key = `telemetry/${stream}/${first}`
      void this.#publish({
        topic: topics.telemetry(this.#fleet, this.#device, stream),
        payload: bytes,
        qos: 1,
        key,
      }).catch((error) => {
        this.#deps.log.debug({ stream, because: because(error) }, 'batch not sent')
        if (error instanceof Fault && error.code === 'publish-withheld')
          this.#deps.sender.hold(stream, this.#deps.clock.monotonicMs() + withheldMs)
      })
    }
  }

  #credentials(): Credentials {
    const { identity, mqttUrl, time } = this.#deps
    this.#connection = this.#deps.nextConnection()
    return {
      url: mqttUrl,
      clientId: this.#device,
      password: tokenFor(identity, 'mqtt', time),
      will: this.#state('offline'),
    }
  }

  #state(status: PresenceState['status']): Outgoing {
    const { bootId, time } = this.#deps
    const state: PresenceState = { status, bootId, connection: this.#connection, at: time.nowMs() }
    return { topic: topics.state(this.#fleet, this.#device), payload: json(state), qos: 1, retain: true }
  }

  #connected(): void {
    this.#deps.log.info({ connection: this.#connection }, 'link up')
    this.#deps.sender.forgetFlights()
    this.#introduce()
    this.#deps.onUp()
    this.pump()
  }

  #introduce(): void {
    void this.#say('state', () => this.#state('online'))
    void this.#say('birth', () => ({
      topic: topics.birth(this.#fleet, this.#device),
      payload: json(this.#deps.makeBirth(this.#connection)),
      qos: 1,
      key: 'birth',
    }))
    this.reportSoon()
  }

  #disconnected(): void {
    this.#isHubThere = false
    clearTimeout(this.#birthTimer)
    clearTimeout(this.#reportTimer)
    this.#reportTimer = undefined
  }

  #heard(topic: string, payload: Uint8Array): void {
    const { onMetadata, onDirective, log } = this.#deps
    const block = parseBlockTopic(topic)
    if (block !== undefined) {
      if (payload.length <= blockBytesMax) for (const listen of this.#blockListeners) listen(block, payload)
    } else if (parseMetaTopic(topic)) {
      if (!this.#asked.heard(topic, payload)) onMetadata(topic, payload)
    } else if (topic === topics.hub(this.#fleet)) this.#heardHub(payload)
    else if (topic === topics.desired(this.#fleet, this.#device)) {
      // An empty retained message clears the topic; it is no directive.
      if (payload.length > 0 && payload.length <= directiveBytesMax) onDirective(payload)
    } else if (topic === topics.ack(this.#fleet, this.#device)) {
      const read = ack.check(parsed(payload, ackBytesMax))
      if (read.ok) {
        this.#acknowledged(read.value)
      } else log.warn({ because: read.detail }, 'unreadable ack')
    } else if (topic === topics.blockRefusal(this.#fleet, this.#device)) {
      const read = blockRefusal.check(parsed(payload, ackBytesMax))
      if (read.ok) for (const listen of this.#refusalListeners) listen(read.value)
    }
  }

  /** An ack that the disk does not take is as good as none: the batch goes again, and the hub knows it by its numbers. */
  #acknowledged(value: Ack): void {
    this.#heardTime(value)
    try {
      this.#deps.sender.acknowledged(value)
      this.pump()
    } catch (error) {
      this.#deps.log.warn({ because: because(error) }, 'cannot store an ack')
    }
  }

  /** Told again when it is another than the report says; a slow link makes it look a little late. */
  #heardTime({ time: hubTime }: Ack): void {
    if (hubTime === undefined) return
    const { time } = this.#deps
    const before = time.skewMs
    time.heardHubTime(fromRfc3339(hubTime))
    const change = Math.abs((time.skewMs ?? 0) - (before ?? 0))
    if (before === undefined || change > skewChangeMsMin) this.reportSoon()
  }

  /** A new epoch is a new life of the hub: it may have forgotten everything that was not committed. */
  #heardHub(payload: Uint8Array): void {
    const read = hubStatus.check(parsed(payload, ackBytesMax))
    if (!read.ok) {
      this.#deps.log.warn({ because: read.detail }, 'unreadable hub status')
      return
    }
    const { status, epoch, time, retryAfterMs, downloadSpreadMs = 0 } = read.value
    this.#downloadSpreadMs = Math.min(downloadSpreadMs, downloadSpreadMsMax)
    const wasThere = this.#isHubThere
    this.#isHubThere = status === 'online'
    this.#link.spreadOver(retryAfterMs ?? 0)
    const isNewLife = this.#hubEpoch !== undefined && this.#hubEpoch !== epoch
    // Retained, so its time may be old; a new life is news.
    if (isNewLife || (status === 'online' && wasThere)) this.#deps.time.heardHubTime(fromRfc3339(time))
    if (status !== 'online') return
    this.#hubEpoch = epoch
    if (isNewLife) this.#introduceWithin(retryAfterMs ?? 0)
    this.pump()
  }

  /** The whole fleet hears of a new life at one moment; its links stay, so no backoff spreads what it says then. */
  #introduceWithin(spreadMs: DurationMs): void {
    clearTimeout(this.#birthTimer)
    const introduce = () => {
      this.#deps.sender.forgetFlights()
      this.#introduce()
      this.pump()
    }
    const delayMs = Math.floor(this.#deps.random() * Math.min(spreadMs, birthSpreadMsMax))
    if (delayMs === 0) introduce()
    else this.#birthTimer = setTimeout(introduce, delayMs)
  }

  #quarantined(key: string): void {
    const stream = /^telemetry\/([a-z]+)\//.exec(key)?.[1] as Stream | undefined
    if (stream) this.#deps.sender.hold(stream, this.#deps.clock.monotonicMs() + refusalLimits.quarantineMs)
    this.#deps.onQuarantined(key)
  }

  #publish(message: Outgoing): Promise<void> {
    return this.#link.publish(message)
  }

  /** A message that is made anew at the next connection anyway: its failure is worth a line, no more. */
  async #say(what: string, make: () => Outgoing): Promise<void> {
    try {
      await this.#publish(make())
    } catch (error) {
      this.#deps.log.warn({ what, because: because(error) }, 'not sent')
    }
  }
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function parsed(payload: Uint8Array, bytesMax: number): unknown {
  const read = payload.length > bytesMax ? undefined : parseStrict(payload)
  return read?.ok ? read.value : undefined
}

function registered<T>(listeners: Set<T>, listen: T): () => void {
  listeners.add(listen)
  return () => listeners.delete(listen)
}
