import { randomBytes } from 'node:crypto'
import { type EnrolmentAnswer, parseJoinToken } from '@godwit/protocol/messages/enrolment'
import { parseBlockTopic, topics } from '@godwit/protocol/topics'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import type { HubClient } from '@godwit/sample-sensor-fleet/demo/hub-client'
import mqtt, { type MqttClient } from 'mqtt'
import { joinRequest } from '../hub/support/new-hub.ts'

/** A device that has joined and only listens: what the broker says can be counted with it. */
export class Listener {
  readonly id: string
  readonly #seed: Uint8Array
  readonly #enrolment: EnrolmentAnswer
  readonly received: { topic: string; payload: Buffer; retain: boolean }[] = []
  client: MqttClient | undefined

  private constructor(id: string, seed: Uint8Array, enrolment: EnrolmentAnswer) {
    this.id = id
    this.#seed = seed
    this.#enrolment = enrolment
  }

  static async joined(hub: HubClient, id: string): Promise<Listener> {
    const { token } = await hub.post<{ token: string }>('/api/v1/join-tokens', { uses: 1 })
    const seed = new Uint8Array(randomBytes(32))
    const request = joinRequest(parseJoinToken(token)!.secret, seed, id)
    return new Listener(id, seed, await hub.post<EnrolmentAnswer>('/api/v1/enrol', request))
  }

  get fleet(): string {
    return this.#enrolment.fleet
  }

  /** Rejects when the broker refuses. */
  async connect(): Promise<void> {
    const now = Date.now()
    const claim = {
      fleet: this.fleet,
      deviceId: this.id,
      audience: 'mqtt',
      issuedAt: now,
      expiresAt: now + 600_000,
    }
    const client = await mqtt.connectAsync(
      this.#enrolment.mqttUrl,
      {
        clientId: this.id,
        username: this.id,
        password: mintDeviceToken(claim, this.#seed),
        reconnectPeriod: 0,
        keepalive: 60,
      },
      false,
    )
    client.on('error', () => {})
    client.on('message', (topic, payload, { retain }) => this.received.push({ topic, payload, retain }))
    this.client = client
    await client.subscribeAsync(topics.downAll(this.fleet, this.id), { qos: 1 })
  }

  /** The last retained directive that came, if any. */
  directive(): { version: number; slots: Record<string, { version: string }> } | undefined {
    const topic = topics.desired(this.fleet, this.id)
    const last = this.received.findLast((message) => message.topic === topic && message.retain)
    return last && JSON.parse(last.payload.toString()).signed
  }

  /** Hears these blocks from now on, whoever asks for them. */
  async listenTo(blocks: readonly string[]): Promise<void> {
    const filters = blocks.map((sha256) => topics.block(this.fleet, sha256))
    await this.client!.subscribeAsync(filters, { qos: 0 })
  }

  /** Digests of the blocks that the hub has published, each as often as it did. */
  blocks(): string[] {
    return this.received.flatMap(({ topic }) => parseBlockTopic(topic) ?? [])
  }

  async end(): Promise<void> {
    await this.client?.endAsync(true)
    this.client = undefined
    this.received.length = 0
  }
}
