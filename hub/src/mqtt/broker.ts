import type { IncomingMessage } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { Fault } from '@godwit/protocol/fault'
import { blockBytesMax } from '@godwit/protocol/limits'
import { parseBlockTopic } from '@godwit/protocol/topics'
import { Aedes, type AuthenticateError, type Client } from 'aedes'
import { type Peer, peerOf } from '../tls/client-certificate.ts'
import { FrameMeter, metered } from './frame-meter.ts'
import { retainedPersistence } from './retained.ts'

export type Outgoing = { topic: string; payload: Uint8Array | string; qos: 0 | 1; retain: boolean }
export type Incoming = { topic: string; payload: Uint8Array; retain: boolean }

/** `drop`: acknowledged and forgotten, because sending it again would not mend it. `close`: out with the client. */
export type Admitted = 'take' | 'drop' | 'close'

/** Who may come in and what becomes of what they say. The broker asks and obeys. */
export type Doorkeeper = {
  mayConnect(
    clientId: string,
    username: string | undefined,
    password: string | undefined,
    peer: Peer,
  ): Promise<boolean>
  /** Answered only when what was taken is durable: the PUBACK leaves after it. */
  admit(deviceId: string, packet: Incoming): Promise<Admitted>
  maySubscribe(deviceId: string, filter: string): boolean
  gone(deviceId: string): void
  /** A block has been written to this device's connection. */
  forwarded?(deviceId: string, sha256: string): void
}

/** The port between hub and broker; an external broker would stand here too (design 8). */
export type Broker = {
  readonly port: number
  publish(packet: Outgoing): Promise<void>
  isConnected(deviceId: string): boolean
  connectedCount(): number
  /** Closes the device's connection, if it has one. */
  kick(deviceId: string): void
  /** A connection that came another way: a browser's WebSocket. */
  handle(stream: Duplex, request: IncomingMessage): void
  stop(): Promise<void>
}

export const brokerDefaults = {
  /** With aedes' 100 one frozen subscriber stalled the whole broker (platform reference, hazard 5). */
  concurrency: 10_000,
  /** A subscriber that takes nothing for this long is gone. Three times the reference's 5 s, for slow mobile links. */
  drainTimeout: 15_000,
  /** Ten seconds for TCP and CONNECT is a long time; a port scanner keeps its socket no longer. */
  connectTimeout: 10_000,
  /** Seconds. Absence is noticed after 1.5 times this at the latest; keep-alive 0 ("never") is refused. */
  keepaliveLimit: 300,
  /** Ours have at most eight levels. */
  maxTopicLevels: 10,
  /** Packets kept before CONNACK. An honest client waits for it. */
  queueLimit: 16,
  /** A CONNECT carries a token of at most 1 KiB and a will of at most 1 KiB. */
  connectBytesMax: 8_192,
  /** The largest batch (120,000 bytes) with its topic, and AWS IoT Core's own limit. */
  packetBytesMax: 131_072,
  /**
   * Blocks are not promised to anybody: a link that is this far behind misses some and asks again, rather than being
   * cut off by `drainTimeout` or holding the memory.
   */
  blockBacklogBytesMax: 4 * blockBytesMax,
}
/** How the listener encrypts, and who wants to know of it to give it newer certificates. */
export type BrokerTls = TlsOptions & { onServer?: (server: ReturnType<typeof createTlsServer>) => void }
export type BrokerOptions = { host: string; port: number; tls?: BrokerTls } & Partial<typeof brokerDefaults>

/** The embedded broker. It keeps nothing that matters: whatever is retained here is published again at every start. */
export async function startBroker(options: BrokerOptions, door: Doorkeeper): Promise<Broker> {
  const settings = { ...brokerDefaults, ...options }
  const { concurrency, drainTimeout, connectTimeout, keepaliveLimit, maxTopicLevels, queueLimit } = settings
  const peers = new WeakMap<object, Peer>()
  /** Between CONNECT and CONNACK nobody finds a client by its id; true once it was kicked in that time. */
  const entering = new Map<Client, boolean>()
  const aedes = await Aedes.createBroker({
    ...{ concurrency, drainTimeout, connectTimeout, keepaliveLimit, maxTopicLevels, queueLimit },
    // Devices' ids are longer than the 23 characters of MQTT 3.1, which some clients still speak.
    maxClientsIdLength: 64,
    // Not in `preConnect`: a client refused there gets no CONNACK at all (hazard 13).
    authenticate(client, username, password, done) {
      // Nothing is queued for whoever is away: the directive is retained, the spool is the device's (SPEC 2.1).
      Object.assign(client, { clean: true })
      const peer = peers.get(client.conn) ?? { certificate: 'none' }
      entering.set(client, false)
      client.conn.once('close', () => entering.delete(client))
      door.mayConnect(client.id, username, password?.toString('utf8'), peer).then(
        (may) => {
          // A key that was taken away while its token was looked at opens nothing.
          const isIn = may && entering.get(client) === false
          return isIn ? done(null, true) : done(refusal(4, 'bad user name or password'), false)
        },
        () => done(refusal(3, 'server unavailable'), false),
      )
    },
    authorizePublish(client, packet, done) {
      if (packet.topic.startsWith('$SYS/')) return done(new Error('$SYS/ topics are reserved'))
      if (!client) return done(null)
      const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
      door.admit(client.id, { topic: packet.topic, payload, retain: packet.retain }).then(
        (admitted) => {
          if (admitted === 'close') return done(new Error(`not authorised to publish on ${packet.topic}`))
          if (admitted === 'drop') Object.assign(packet, { payload: Buffer.alloc(0), retain: false })
          done(null)
        },
        // Not stored, so not acknowledged: the device sends it again.
        (error) => done(error as Error),
      )
    },
    authorizeSubscribe(client, subscription, done) {
      done(null, door.maySubscribe(client.id, subscription.topic) ? subscription : null)
    },
    authorizeForward(client, packet) {
      const block = parseBlockTopic(packet.topic)
      if (block === undefined) return packet
      if ((client.conn as Duplex).writableLength > settings.blockBacklogBytesMax) return null
      door.forwarded?.(client.id, block)
      return packet
    },
  })
  Object.assign(persistenceOf(aedes), retainedPersistence())
  aedes.on('clientDisconnect', (client) => door.gone(client.id))
  aedes.on('clientReady', (client) => {
    if (entering.get(client)) client.close()
    entering.delete(client)
  })

  const handle = (stream: Duplex, request?: IncomingMessage) => {
    const meter = new FrameMeter(settings.connectBytesMax, settings.packetBytesMax)
    const conn = metered(stream, meter)
    peers.set(conn, peerOf(request?.socket ?? stream))
    aedes.handle(conn, request)
  }
  const server = createListener(options.tls, handle)
  const port = await listen(server, options)
  const clientOf = (deviceId: string) => clientsOf(aedes)[deviceId]
  return {
    port,
    handle,
    publish: ({ topic, payload, qos, retain }) =>
      new Promise((resolve, reject) => {
        const bytes = typeof payload === 'string' ? Buffer.from(payload) : Buffer.from(payload)
        const packet = { cmd: 'publish', topic, payload: bytes, qos, retain, dup: false } as const
        aedes.publish(packet, (error) => (error ? reject(error) : resolve()))
      }),
    isConnected: (deviceId) => clientOf(deviceId) !== undefined,
    connectedCount: () => aedes.connectedClients,
    kick(deviceId) {
      for (const client of entering.keys()) if (client.id === deviceId) entering.set(client, true)
      clientOf(deviceId)?.close()
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      await new Promise<void>((resolve) => aedes.close(resolve))
      await closed
    },
  }
}

function createListener(tls: BrokerTls | undefined, handle: (socket: Socket) => void): Server {
  if (!tls) return createServer({ noDelay: true }, handle)
  const { onServer, ...options } = tls
  const server = createTlsServer({ noDelay: true, ...options }, handle)
  onServer?.(server)
  return server
}

function refusal(returnCode: 3 | 4, message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode }) as AuthenticateError
}

/** Not in aedes' types either. Nobody is connected yet, so a part of it can still be exchanged. */
function persistenceOf(aedes: Aedes): object {
  return (aedes as unknown as { persistence: object }).persistence
}

/** Not in aedes' types, though its documentation names it. */
function clientsOf(aedes: Aedes): Record<string, Client | undefined> {
  return (aedes as unknown as { clients: Record<string, Client | undefined> }).clients
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const message = `MQTT cannot listen on ${host}:${port}: ${cause.message}. Set mqtt.port to a free port.`
      reject(new Fault('cannot-listen', message, { cause }))
    })
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port))
  })
}
