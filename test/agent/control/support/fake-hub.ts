import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import type { BlockRequest } from '@godwit/protocol/messages/blocks'
import type { ProbationPolicy, SlotGoal } from '@godwit/protocol/messages/directive'
import { formatJoinToken } from '@godwit/protocol/messages/enrolment'
import type { Report, SlotReport } from '@godwit/protocol/messages/report'
import {
  type Batch,
  decodeBatch,
  decodeSealedBatch,
  type EventRecord,
  type WindowRecord,
} from '@godwit/protocol/messages/telemetry'
import { blockRange, describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { targetPathOf } from '@godwit/protocol/release/release'
import { parseUpTopic, type Stream, topics } from '@godwit/protocol/topics'
import { encodeEnvelope } from '@godwit/protocol/trust/metadata'
import { toRfc3339 } from '@godwit/protocol/units'
import { Aedes } from 'aedes'
import { auditOfPlaces, type SequenceAudit } from '../../../support/sequence-audit.ts'
import { now, TufRepository } from '../../../support/tuf-repository.ts'

const fleet = 'shed'
/** Keeps the records of a second spool apart from those of the first in `records`. */
const seqsPerSession = 1_000_000
export const deviceId = 'd1'

export type ReleaseOptions = {
  behaviour?: object
  paddingBytes?: number
  listed?: boolean
  arch?: string[]
  p95Micros?: number
}

/** The other party, faked once: a real broker over TCP, real signatures, a small HTTP side, everything in memory. */
export class FakeHub {
  readonly repository = new TufRepository({ extraRoles: ['director'] })
  readonly blobs = new Map<string, Buffer>()
  readonly reports: Report[] = []
  readonly states: { status: string; connection: number; bootId: string }[] = []
  readonly births: { connection: number }[] = []
  readonly records: Record<Stream, Map<number, unknown>> = {
    event: new Map(),
    window: new Map(),
    health: new Map(),
  }
  readonly dropped: [Stream, number, number][] = []
  readonly blockRequests: BlockRequest[] = []
  httpRequests: string[] = []
  duplicates = 0
  answersAcks = true
  offersHttp = true
  /** Changes or withholds what goes out, by either way. */
  tamper: (blob: string, index: number, bytes: Buffer) => Buffer | undefined = (_blob, _index, bytes) => bytes
  /** Cuts every connection while this says so. */
  refusesPublish: (topic: string) => boolean = () => false
  /** Neither takes nor refuses them, as a link that dies under a message. */
  swallowsPublish: (topic: string) => boolean = () => false
  /** Every connection is cut after so long. */
  connectionMsMax = Number.POSITIVE_INFINITY
  #broker!: Aedes
  #tcp = createTcpServer()
  #http!: Server
  readonly #sockets = new Set<Socket>()
  #mqttPort = 0
  #directiveVersion = 0
  #counter = 0
  #goals: Record<string, SlotGoal> = {}
  /** Spools that numbered records, in the order in which they were heard of: each begins at 1 again. */
  readonly sessions: string[] = []
  readonly #acked = new Map<string, Record<Stream, number>>()
  readonly #waiting = new Set<() => void>()
  windowMs = 100
  /** Of the device's; undefined: its acks do not say what the time is. */
  clockAheadMs: number | undefined

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub()
    await hub.#listenHttp()
    await hub.#listenMqtt()
    return hub
  }

  async #listenMqtt(): Promise<void> {
    this.#broker = await Aedes.createBroker({ concurrency: 1000, drainTimeout: 5000 })
    this.#broker.authorizePublish = (_client, packet, done) =>
      this.swallowsPublish(packet.topic) ||
      done(this.refusesPublish(packet.topic) ? new Error('refused') : null)
    this.#broker.on('publish', (packet, client) => {
      if (client) this.#heard(packet.topic, packet.payload as Buffer)
    })
    this.#tcp = createTcpServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('error', () => {})
      if (this.connectionMsMax < Number.POSITIVE_INFINITY)
        setTimeout(() => socket.destroy(), this.connectionMsMax)
      this.#broker.handle(socket)
    })
    await new Promise<void>((resolve) => this.#tcp.listen(this.#mqttPort, '127.0.0.1', resolve))
    this.#mqttPort = (this.#tcp.address() as AddressInfo).port
    this.publishMetadata()
    this.#publishStatus('online')
    this.#publishDirective()
  }

  /** As if the hub had begun a new life behind a broker that stayed. */
  beginAnew(epoch: string, retryAfterMs: number): void {
    this.#publishStatus('online', { epoch, retryAfterMs })
  }

  #publishStatus(status: string, change: { epoch?: string; retryAfterMs?: number } = {}): void {
    const body = {
      status,
      epoch: `epoch-${this.#mqttPort}-${this.#counter}`,
      time: new Date(now).toISOString(),
      ...change,
    }
    this.#send(topics.hub(fleet), Buffer.from(JSON.stringify(body)), true)
  }

  /** Cuts the link and refuses new ones until `reconnect`. Broker state is lost, as with aedes in memory. */
  async cut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#tcp.close(resolve))
    await new Promise<void>((resolve) => this.#broker.close(resolve))
  }

  async reconnect(): Promise<void> {
    this.#counter++
    await this.#listenMqtt()
  }

  async stop(): Promise<void> {
    await this.cut().catch(() => {})
    this.#http.closeAllConnections()
    await new Promise((resolve) => this.#http.close(resolve))
  }

  async #listenHttp(): Promise<void> {
    this.#http = createServer((request, response) => {
      const url = request.url ?? ''
      this.httpRequests.push(url)
      if (url === '/api/v1/enrol') {
        const root = Buffer.from(this.repository.files.get('1.root.json')!).toString('base64')
        const httpUrl = this.url
        response.end(
          JSON.stringify({
            fleet,
            deviceId,
            labels: {},
            mqttUrl: `mqtt://127.0.0.1:${this.#mqttPort}`,
            httpUrl,
            root,
            time: new Date(now).toISOString(),
          }),
        )
        return
      }
      const blob = /^\/blobs\/sha256\/([0-9a-f]{64})$/.exec(url)?.[1]
      const bytes = blob ? this.blobs.get(blob) : undefined
      if (!this.offersHttp || !bytes) {
        response.writeHead(this.offersHttp ? 404 : 503).end()
        return
      }
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
      const parts: Buffer[] = []
      for (let at = Number(from); at <= Number(to); at += 65_536) {
        const part = Buffer.from(bytes.subarray(at, Math.min(at + 65_536, Number(to) + 1)))
        parts.push(this.tamper(blob!, at / 65_536, part) ?? Buffer.alloc(0))
      }
      response.writeHead(206).end(Buffer.concat(parts))
    })
    await new Promise<void>((resolve) => this.#http.listen(0, '127.0.0.1', resolve))
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  get joinToken(): string {
    const rootSha256 = sha256Hex(this.repository.files.get('1.root.json')!)
    return formatJoinToken({ url: this.url, secret: 'a-secret-of-the-operator', rootSha256 })
  }

  get mqttPort(): number {
    return this.#mqttPort
  }

  publishMetadata(): void {
    for (const [name, bytes] of this.repository.files) {
      const [, version, role] = /^(?:(\d+)\.)?([a-z]+)\.json$/.exec(name)!
      this.#send(topics.meta(fleet, role!, version ? Number(version) : undefined), Buffer.from(bytes), true)
    }
  }

  /** Packs, lists and publishes a release; its "model" is a text that the fake runner acts by. */
  publishRelease(version: string, options: ReleaseOptions = {}): SlotGoal {
    const { behaviour = {}, paddingBytes = 0, listed = true } = options
    const files = {
      'model.json': this.#put(`${JSON.stringify({ version, ...behaviour })}${padding(paddingBytes)}`),
      'golden.json': this.#put('{}'),
      'pipeline.json': this.#put(`{"of":"${version}"}`),
    }
    const release = {
      format: 'godwit-release/1',
      model: 'gauge',
      version,
      releaseCounter: ++this.#counter,
      createdAt: new Date(now).toISOString(),
      files,
      variants: [{ name: 'fp32', file: 'model.json', executionProviders: ['cpu'], precision: 'float32' }],
      io: {
        inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 2] }],
        outputs: [{ name: 'y', dtype: 'float32', shape: ['n'] }],
      },
      golden: 'golden.json',
      pipeline: 'pipeline.json',
      requires: { opset: { 'ai.onnx': 17 }, irVersion: 8, ...(options.arch && { arch: options.arch }) },
      promises: { ...(options.p95Micros && { p95Micros: options.p95Micros }) },
    }
    const bytes = Buffer.from(JSON.stringify(release))
    const releaseDigest = sha256Hex(bytes)
    this.blobs.set(releaseDigest, bytes)
    if (listed) {
      const custom = {
        kind: 'godwit-release/1',
        model: 'gauge',
        version,
        releaseCounter: release.releaseCounter,
      }
      this.repository.targets.get('targets')!.targets[targetPathOf('gauge', version)] = {
        length: bytes.length,
        hashes: { sha256: releaseDigest },
        custom,
      }
      this.repository.publish()
      this.publishMetadata()
    }
    return { model: 'gauge', version, releaseDigest, releaseBytes: bytes.length, probation: quickProbation }
  }

  #put(text: string) {
    const bytes = Buffer.from(text)
    const file = describeFile(bytes)
    this.blobs.set(file.sha256, bytes)
    return file
  }

  direct(
    goal: SlotGoal | undefined,
    change: { deviceId?: string; version?: number; slot?: string } = {},
  ): number {
    this.#directiveVersion = change.version ?? this.#directiveVersion + 1
    this.#goals = goal ? { [change.slot ?? 'default']: goal } : {}
    this.#publishDirective(change.deviceId)
    return this.#directiveVersion
  }

  #publishDirective(forDevice = deviceId): void {
    if (this.#directiveVersion === 0) return
    const directive = {
      _type: 'directive',
      specVersion: 1,
      fleet,
      deviceId: forDevice,
      version: this.#directiveVersion,
      issued: new Date(now).toISOString(),
      expires: new Date(now + 86_400_000).toISOString(),
      slots: this.#goals,
      telemetry: { windowMs: this.windowMs },
    }
    const bytes = encodeEnvelope(this.repository.sign('director', directive))
    this.#send(topics.desired(fleet, deviceId), Buffer.from(bytes), true)
  }

  #send(topic: string, payload: Buffer, retain = false): void {
    this.#broker.publish({ cmd: 'publish', topic, payload, qos: 1, retain, dup: false }, () => {})
  }

  #heard(topic: string, payload: Buffer): void {
    const up = parseUpTopic(topic)
    if (!up) return
    if (up.kind === 'reported') this.reports.push(JSON.parse(payload.toString()).signed)
    if (up.kind === 'state') this.states.push(JSON.parse(payload.toString()))
    if (up.kind === 'birth') this.births.push(JSON.parse(payload.toString()))
    if (up.kind === 'block-request') this.#serveBlocks(JSON.parse(payload.toString()))
    if (up.kind === 'telemetry') this.#ingest(payload)
    for (const check of [...this.#waiting]) check()
  }

  #serveBlocks(request: BlockRequest): void {
    this.blockRequests.push(request)
    const blob = this.blobs.get(request.blob)
    if (!blob) return
    for (const { index, sha256 } of request.blocks) {
      const { offset, length } = blockRange({ sizeBytes: blob.length, blockBytes: request.blockBytes }, index)
      const bytes = this.tamper(request.blob, index, Buffer.from(blob.subarray(offset, offset + length)))
      if (bytes) this.#send(topics.block(fleet, sha256), bytes)
    }
  }

  #ingest(payload: Buffer): void {
    const sealed = decodeSealedBatch(payload)
    const read = sealed.ok ? decodeBatch(sealed.value.payload) : sealed
    if (!read.ok) throw new Error(read.detail)
    const batch: Batch = read.value
    if (!this.sessions.includes(batch.session)) this.sessions.push(batch.session)
    const base = this.sessions.indexOf(batch.session) * seqsPerSession
    const acked = this.#acked.get(batch.session) ?? { event: 0, window: 0, health: 0 }
    this.#acked.set(batch.session, acked)
    const held = this.records[batch.stream]
    for (const { seq, body } of batch.records) {
      if (held.has(base + seq)) this.duplicates++
      held.set(base + seq, body)
    }
    for (const [first, last] of batch.dropped) this.dropped.push([batch.stream, base + first, base + last])
    const gone = (seq: number) => this.dropped.some(([s, a, b]) => s === batch.stream && a <= seq && seq <= b)
    while (held.has(base + acked[batch.stream] + 1) || gone(base + acked[batch.stream] + 1))
      acked[batch.stream]++
    if (!this.answersAcks) return
    const time = this.clockAheadMs && { time: toRfc3339(now + this.clockAheadMs) }
    const ack = { session: batch.session, acks: { [batch.stream]: acked[batch.stream] }, ...time }
    this.#send(topics.ack(fleet, deviceId), Buffer.from(JSON.stringify(ack)))
  }

  get windows(): WindowRecord[] {
    return [...this.records.window.values()] as WindowRecord[]
  }

  /** In the order of their numbers: lost, twice, or told to be dropped. */
  audit(): SequenceAudit {
    const numbered = [...this.records.window]
      .sort(([a], [b]) => a - b)
      .map(([, body]) => body as WindowRecord)
    const told = this.dropped.reduce((sum, [, first, last]) => sum + last - first + 1, 0)
    return { ...auditOfPlaces(numbered), told }
  }

  get events(): EventRecord[] {
    return [...this.records.event.values()] as EventRecord[]
  }

  get slot(): SlotReport | undefined {
    return this.reports.at(-1)?.slots['default']
  }

  /** Until the device has said something that makes it true. */
  until(isTrue: () => boolean, limitMs = 30_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        this.#waiting.delete(check)
        reject(new Error(`not within ${limitMs} ms; the last report: ${JSON.stringify(this.slot)}`))
      }, limitMs)
      const check = () => {
        if (!isTrue()) return
        clearTimeout(limit)
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }

  /** The deployment that this directive asked for has ended. */
  ended(directiveVersion: number): Promise<void> {
    return this.until(() => (this.slot?.answered ?? 0) >= directiveVersion)
  }
}

export const quickProbation: ProbationPolicy = {
  durationMs: 300,
  inferences: 10,
  errorsPerMillionMax: 50_000,
  crashesMax: 0,
}

/** White space that JSON ignores, no two blocks of it alike: a counter, written in blanks and tabs. */
function padding(bytes: number): string {
  let text = ''
  for (let i = 0; text.length < bytes; i++)
    text += i.toString(2).padStart(32, '0').replaceAll('0', ' ').replaceAll('1', '\t')
  return text.slice(0, bytes)
}
