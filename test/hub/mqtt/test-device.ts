import { defaultProbation } from '@godwit/protocol/messages/directive'
import type { Report } from '@godwit/protocol/messages/report'
import {
  type Batch,
  batchSigningBytes,
  type EventRecord,
  encodeBatch,
  encodeSealedBatch,
  latencyBucketMicros,
  type WindowRecord,
} from '@godwit/protocol/messages/telemetry'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import type { Release } from '@godwit/protocol/release/release'
import { type Stream, topics } from '@godwit/protocol/topics'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { publicKeyOf, sign } from '@godwit/protocol/trust/ed25519'
import { utf8 } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { ed25519Key, keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import mqtt, { type MqttClient } from 'mqtt'
import { type Box, joinRequest, seedOf } from '../support/new-hub.ts'

export const fleet = 'test-fleet'

/** The other party: a device that speaks the protocol by hand, so that it can also speak it wrongly. */
export class TestDevice {
  readonly id: string
  readonly seed: Uint8Array
  readonly #box: Box
  readonly received: { topic: string; payload: Buffer; retain: boolean }[] = []
  client!: MqttClient
  closed = false
  #reportVersion = 0

  private constructor(box: Box, id: string, seed: Uint8Array) {
    this.#box = box
    this.id = id
    this.seed = seed
  }

  static async enrolled(
    box: Box,
    id: string,
    byte: number,
    labels: Record<string, string> = {},
  ): Promise<TestDevice> {
    const device = new TestDevice(box, id, seedOf(byte))
    const { enrolment } = box.hub.services
    const { token } = await enrolment.createJoinToken({ labels, uses: 1, expiresInMs: 60_000 }, 'test')
    // The device takes the secret out of the token.
    const { secret } = JSON.parse(Buffer.from(token.slice('gwj1_'.length), 'base64url').toString('utf8')) as {
      secret: string
    }
    const verdict = await enrolment.enrol(joinRequest(secret, device.seed, id))
    if (!verdict.enrolled) throw new Error(verdict.detail)
    return device
  }

  token(deviceId = this.id, seed = this.seed): string {
    const now = this.#box.time.now
    const claim = { fleet, deviceId, audience: 'mqtt', issuedAt: now, expiresAt: now + 600_000 }
    return mintDeviceToken(claim, seed)
  }

  /** Rejects when the broker refuses. */
  async connect(change: mqtt.IClientOptions = {}, url = this.#box.hub.addresses.mqttUrl): Promise<this> {
    const options: mqtt.IClientOptions = {
      clientId: this.id,
      username: this.id,
      password: this.token(),
      protocolVersion: 4,
      reconnectPeriod: 0,
      connectTimeout: 5_000,
      keepalive: 30,
      ...change,
    }
    this.closed = false
    this.client = await mqtt.connectAsync(url, options, false)
    this.client.on('error', () => {})
    this.client.on('close', () => {
      this.closed = true
    })
    this.client.on('message', (topic, payload, packet) =>
      this.received.push({ topic, payload, retain: packet.retain }),
    )
    return this
  }

  async subscribeAll(): Promise<this> {
    await this.client.subscribeAsync(
      [topics.hub(fleet), topics.metaAll(fleet), topics.downAll(fleet, this.id)],
      { qos: 1 },
    )
    return this
  }

  publish(
    topic: string,
    payload: string | Uint8Array,
    options: mqtt.IClientPublishOptions = { qos: 1 },
  ): Promise<unknown> {
    return this.client.publishAsync(
      topic,
      typeof payload === 'string' ? payload : Buffer.from(payload),
      options,
    )
  }

  async hasClosed(): Promise<void> {
    // Not `once` of node:events: the error that comes before the close would end it.
    if (!this.closed) await new Promise<void>((resolve) => this.client.once('close', () => resolve()))
  }

  on(topic: string): string[] {
    return this.received
      .filter((message) => message.topic === topic)
      .map(({ payload }) => payload.toString('utf8'))
  }

  state(status: 'online' | 'sleeping' | 'offline', connection: number): string {
    return JSON.stringify({ status, bootId: 'boot', connection, at: 1 })
  }

  birth(connection: number): string {
    const hardware = { model: 'pi', arch: 'arm64', os: 'linux', cores: 4, memoryBytes: 1, diskFreeBytes: 1 }
    const runtime = { name: 'ort', version: '1', executionProviders: ['cpu'], opsetMax: 21 }
    const metadata = { root: 1, timestamp: 1, snapshot: 1, targets: 1 }
    const bare = { bootId: 'boot', connection, at: 1, agentVersion: '1', slots: {}, directiveVersion: 0 }
    return JSON.stringify({ ...bare, hardware, runtime, metadata })
  }

  seal(batch: Partial<Batch> & { stream: Stream }, seed = this.seed): Uint8Array {
    const session = 'session-1'
    const bare = { v: 1 as const, fleet, deviceId: this.id, session, base: 1, dropped: [], records: [] }
    const payload = encodeBatch({ ...bare, ...batch })
    const keyid = keyIdOf(ed25519Key(publicKeyOf(seed)))
    return encodeSealedBatch({ payload, keyid, sig: sign(seed, batchSigningBytes(payload)) })
  }

  report(directiveVersion: number, slot: Report['slots'][string]): Uint8Array {
    const document: Report = {
      _type: 'report',
      specVersion: 1,
      fleet,
      deviceId: this.id,
      session: 'session-1',
      reportVersion: ++this.#reportVersion,
      directiveVersion,
      at: 1,
      slots: { default: slot },
      quarantine: [],
      free: { diskBytes: 1, memoryBytes: 1 },
      clock: { floor: 0 },
    }
    return encodeEnvelope(signDocument(document, this.seed, keyOfSeed(this.seed)))
  }

  /** The last directive that came. */
  directive(): { version: number; slots: Record<string, { version: string; releaseDigest: string }> } {
    const all = this.on(topics.desired(fleet, this.id)).filter((text) => text.length > 0)
    return JSON.parse(all.at(-1) ?? 'null')?.signed
  }

  async says(
    phase: Report['slots'][string]['phase'],
    release: Known,
    code?: Report['slots'][string]['code'],
    runs?: Known,
  ): Promise<void> {
    const { version } = this.directive()
    const isEnd = code !== undefined
    const running = runs ?? (phase === 'committed' ? release : undefined)
    const slot: Report['slots'][string] = {
      phase,
      target: release.ref,
      attempt: 1,
      answered: isEnd ? version : version - 1,
      ...(code && { code }),
      ...(running && {
        active: {
          ...running.ref,
          variant: 'fp32',
          since: 1,
          executionProvider: 'cpu',
          loadedDigest: 'a'.repeat(64),
          proof: 'b'.repeat(64),
        },
      }),
    }
    await this.publish(topics.reported(fleet, this.id), this.report(version, slot), { qos: 1, retain: true })
  }

  async end(): Promise<void> {
    await this.client?.endAsync(true)
  }
}

export type Known = {
  ref: { model: string; version: string; releaseDigest: string }
  release: Release
  bytes: Uint8Array
}

/** A version that the registry lists, put there as if it had been published: what publishing checks is not our matter. */
export async function listedVersion(
  box: Box,
  version: string,
  files: Record<string, Uint8Array>,
  change: Partial<Release> = {},
): Promise<Known> {
  const { blobs, database } = box.hub.services
  const release = {
    format: 'godwit-release/1',
    model: 'gauge',
    version,
    releaseCounter: Number(version),
    createdAt: '2026-11-01T00:00:00Z',
    files: Object.fromEntries(
      Object.entries(files).map(([path, bytes]) => [path, describeFile(bytes, 4_096)]),
    ),
    variants: [{ name: 'fp32', file: 'model.onnx', executionProviders: ['cpu'], precision: 'fp32' }],
    io: {
      inputs: [{ name: 'x', dtype: 'float32', shape: [1] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [1] }],
    },
    golden: 'golden.json',
    pipeline: 'pipeline.json',
    requires: { opset: { '': 17 }, irVersion: 8 },
    promises: {},
    ...change,
  } as Release
  const bytes = utf8(JSON.stringify(release))
  const releaseDigest = sha256Hex(bytes)
  for (const content of [...Object.values(files), bytes]) await blobs.put(sha256Hex(content), chunks(content))
  await database.db
    .insertInto('model')
    .values({ name: 'gauge', description: '', created_at: 1 })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await database.db
    .insertInto('version')
    .values({
      ...{ model: 'gauge', version, release_digest: releaseDigest, release_counter: release.releaseCounter },
      ...{
        release_bytes: bytes.length,
        release_json: JSON.stringify(release),
        created_at: 1,
        created_by: 'test',
      },
      ...{ listed_at: 1, delisted_at: null },
    })
    .execute()
  return { ref: { model: 'gauge', version, releaseDigest }, release, bytes }
}

async function* chunks(bytes: Uint8Array) {
  yield bytes
}

export const plainFiles = (byte: number) => ({
  'model.onnx': new Uint8Array(10_000).map((_, i) => (i * 31 + byte) % 251),
  'golden.json': utf8(`{"golden":${byte}}`),
  'pipeline.json': utf8('{}'),
})

export function goalOf({ ref, bytes }: Known) {
  return { ...ref, releaseBytes: bytes.length, probation: defaultProbation }
}

export function windowBody({ ref }: Pick<Known, 'ref'>, change: Partial<WindowRecord> = {}): WindowRecord {
  const inferences = change.inferences ?? 30
  const counts = latencyBucketMicros.map((bound) => (bound === 1_000 ? inferences : 0))
  return {
    slot: 'default',
    ...ref,
    ...{ start: 1_000, end: 2_000, readings: inferences, inferences, errors: 0, warmUp: 0, anomalies: 0 },
    latency: { counts: [...counts, 0], sumMicros: inferences * 900 },
    drift: [],
    ...change,
  }
}

export function eventBody(change: Partial<EventRecord> = {}): EventRecord {
  return { kind: 'anomaly', key: 'k', at: 5, severity: 'warning', detail: { value: 1.5 }, ...change }
}
