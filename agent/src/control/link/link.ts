import type { Socket } from 'node:net'
import { Fault } from '@godwit/protocol/fault'
import type { DurationMs } from '@godwit/protocol/units'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import type { Clock } from '../clock.ts'
import { because, type Log } from '../log.ts'
import { type BackoffLimits, backoffMs, stableMs } from './backoff.ts'
import { RefusedPublishes } from './refused-publishes.ts'
import type { TlsMaterial } from './tls.ts'

export type Outgoing = {
  topic: string
  payload: Uint8Array
  qos: 0 | 1
  retain?: boolean
  /** Names the message for the quarantine; absent for what may be lost anyway. */
  key?: string
}

/** What one connection is opened with: made anew each time, since token and will name the connection. */
export type Credentials = { url: string; clientId: string; password: string; will: Outgoing }

export type LinkEvents = {
  credentials(): Credentials
  /** Subscriptions stand; say hello. */
  connected(): void
  disconnected(): void
  message(topic: string, payload: Uint8Array): void
  /** The broker took us for somebody else, or our token for too old or too new. */
  unauthorised(): void | Promise<void>
  quarantined(key: string): void
  /** What was withheld on this connection may be sent now. */
  released(): void
}

const connectMsMax = 20_000
const keepaliveSecondsDefault = 45

/**
 * One MQTT 3.1.1 connection at a time, clean session, for ever. mqtt.js' own reconnection is off: it would repeat the
 * old token and the old will, and its period is the same for a whole fleet.
 */
export class Link {
  readonly #events: LinkEvents
  readonly #limits: BackoffLimits
  readonly #clock: Clock
  readonly #random: () => number
  readonly #log: Log
  readonly #tls: (() => TlsMaterial) | undefined
  readonly #keepaliveSeconds: number
  readonly #refused = new RefusedPublishes()
  readonly #topics = new Set<string>()
  #client: MqttClient | undefined
  #timer: NodeJS.Timeout | undefined
  #trialTimer: NodeJS.Timeout | undefined
  /** The last message with a key that was begun, and the end of the connection. */
  #turn: Promise<void> = Promise.resolve()
  #closedEarly = Promise.withResolvers<void>()
  #isUp = false
  #stopped = false
  #failures = 0
  #spreadMs = 0

  constructor(
    events: LinkEvents,
    limits: BackoffLimits,
    deps: {
      clock: Clock
      random: () => number
      log: Log
      tls?: () => TlsMaterial
      /** A link that is half open is left after one and a half of them. */
      keepaliveSeconds?: number
    },
  ) {
    this.#events = events
    this.#limits = limits
    this.#clock = deps.clock
    this.#random = deps.random
    this.#log = deps.log
    this.#tls = deps.tls
    this.#keepaliveSeconds = deps.keepaliveSeconds ?? keepaliveSecondsDefault
  }

  get isUp(): boolean {
    return this.#isUp
  }

  start(standing: readonly string[]): void {
    for (const topic of standing) this.#topics.add(topic)
    this.#connect()
  }

  /** The hub asks the fleet to spread its next connections over this long. */
  spreadOver(spreadMs: DurationMs): void {
    this.#spreadMs = Math.min(spreadMs, this.#limits.backoffMsMax)
  }

  /** Messages with a key go one after the other, so that a broker that hangs up shows which one it means. */
  async publish(message: Outgoing): Promise<void> {
    const client = this.#clientFor(message)
    const { key, qos } = message
    if (key === undefined) {
      await this.#send(client, message)
      if (qos > 0) this.#refused.answered()
      return
    }
    const before = this.#turn
    const turn = Promise.withResolvers<void>()
    this.#turn = turn.promise
    try {
      await before
      if (this.#clientFor(message) !== client) throw linkDown(message)
      this.#refused.sent(key, this.#clock.monotonicMs())
      await this.#send(client, message)
      if (client === this.#client) this.#refused.answered(key)
    } finally {
      turn.resolve()
    }
  }

  #clientFor(message: Outgoing): MqttClient {
    const { key } = message
    if (!this.#client || !this.#isUp) throw linkDown(message)
    if (key !== undefined && this.#refused.isWithheld(key, this.#clock.monotonicMs()))
      throw new Fault('publish-withheld', `${key} made the broker close the connection and waits`)
    return this.#client
  }

  /** Ends with the connection at the latest, whatever the client library does with its callbacks. */
  async #send(client: MqttClient, message: Outgoing): Promise<void> {
    const { topic, payload, qos, retain = false } = message
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    const closed = this.#closedEarly.promise.then(() => {
      throw linkDown(message)
    })
    await Promise.race([client.publishAsync(topic, bytes, { qos, retain }), closed])
  }

  /** Kept up over connections until `unsubscribe`. */
  async subscribe(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#topics.add(topic)
    if (this.#isUp) await this.#client?.subscribeAsync([...topics], { qos: 1 })
  }

  async unsubscribe(topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#topics.delete(topic)
    if (this.#isUp && topics.length > 0) await this.#client?.unsubscribeAsync([...topics])
  }

  /** Says goodbye, so that the broker keeps the will to itself. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#trialTimer)
    const client = this.#client
    this.#client = undefined
    this.#isUp = false
    if (!client) return
    await Promise.race([client.endAsync(), new Promise((resolve) => setTimeout(resolve, 2_000).unref())])
    client.end(true)
  }

  #connect(): void {
    if (this.#stopped) return
    let client: MqttClient
    try {
      client = this.#open(this.#events.credentials())
    } catch (error) {
      // Also a disk that takes no new connection number: waiting is all that helps.
      this.#log.warn({ because: because(error) }, 'cannot open a connection')
      this.#again()
      return
    }
    this.#client = client
    this.#turn = Promise.resolve()
    this.#closedEarly = Promise.withResolvers<void>()
    let upSinceMs: number | undefined
    let trouble: Error | undefined
    client.on('connect', () => {
      upSinceMs = this.#clock.monotonicMs()
      // Small messages must not wait for the acknowledgement of the ones before (Nagle).
      ;(client.stream as unknown as Partial<Socket>).setNoDelay?.(true)
      void this.#welcome(client)
    })
    client.on('message', (topic, payload) => {
      if (client === this.#client) this.#events.message(topic, payload)
    })
    client.on('error', (error) => {
      trouble = error
    })
    client.once('close', () => {
      client.end(true)
      if (client !== this.#client) return
      void this.#closed(upSinceMs, trouble)
    })
  }

  #open({ url, clientId, password, will }: Credentials): MqttClient {
    const options: IClientOptions = {
      ...this.#tls?.(),
      protocolVersion: 4,
      clean: true,
      clientId,
      username: clientId,
      password,
      keepalive: this.#keepaliveSeconds,
      connectTimeout: connectMsMax,
      reconnectPeriod: 0,
      // Nothing waits in RAM: what matters lies in the spool or is made anew at each connect.
      queueQoSZero: false,
      resubscribe: false,
      will: {
        topic: will.topic,
        payload: Buffer.from(will.payload),
        qos: will.qos,
        retain: will.retain ?? false,
      },
    }
    return mqtt.connect(url, options)
  }

  /** Subscribes before anybody says hello, so that the answers find us listening. */
  async #welcome(client: MqttClient): Promise<void> {
    try {
      if (this.#topics.size > 0) await client.subscribeAsync([...this.#topics], { qos: 1 })
      if (client !== this.#client || this.#stopped) return
      this.#isUp = true
      const trialMs = this.#refused.opened(this.#clock.monotonicMs())
      if (trialMs !== undefined) this.#trialTimer = setTimeout(() => this.#events.released(), trialMs)
      this.#events.connected()
    } catch (error) {
      this.#log.warn({ because: because(error) }, 'the broker refused our subscriptions')
      client.end(true)
    }
  }

  async #closed(upSinceMs: number | undefined, trouble: Error | undefined): Promise<void> {
    const wasUp = this.#isUp
    const nowMs = this.#clock.monotonicMs()
    this.#isUp = false
    this.#client = undefined
    const stable = upSinceMs !== undefined && nowMs - upSinceMs >= stableMs
    this.#failures = stable ? 1 : this.#failures + 1
    clearTimeout(this.#trialTimer)
    this.#closedEarly.resolve()
    for (const key of this.#refused.closed(nowMs)) this.#events.quarantined(key)
    this.#log.info({ because: trouble ? because(trouble) : 'closed', failures: this.#failures }, 'link down')
    if (wasUp) this.#events.disconnected()
    // CONNACK 4 and 5 (MQTT 3.1.1 §3.2.2.3).
    const code = (trouble as { code?: unknown } | undefined)?.code
    if (code === 4 || code === 5) await this.#events.unauthorised()
    this.#again()
  }

  #again(): void {
    if (this.#stopped) return
    const delayMs = backoffMs(Math.max(1, this.#failures), this.#limits, this.#random(), this.#spreadMs)
    this.#timer = setTimeout(() => this.#connect(), delayMs)
  }
}

function linkDown({ topic }: Outgoing): Fault {
  return new Fault('link-down', `not connected; ${topic} was not sent`)
}
