import { createConnection, type Socket } from 'node:net'
import { generate, type Packet } from 'mqtt-packet'

/**
 * As much of MQTT 3.1.1 as a device needs that a bench makes up. A thousand of them share one process here, which the
 * agent's own client is not made for: what is measured is the hub.
 */
export class LightMqtt {
  isUp = true
  onMessage: (topic: string, payload: Uint8Array) => void = () => {}
  readonly #socket: Socket
  readonly #waiting = new Map<number, (error?: Error) => void>()
  #connected = Promise.withResolvers<void>()
  #messageId = 0
  /** The frame that is being read: its first bytes, then all of it. */
  #head: number[] = []
  #frame: Buffer | undefined
  #filled = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#closed())
  }

  static async connect(url: string, clientId: string, password: string): Promise<LightMqtt> {
    const { hostname, port } = new URL(url)
    const client = new LightMqtt(createConnection({ host: hostname, port: Number(port) }))
    client.#write({
      ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 300 },
      ...{ clientId, username: clientId, password: Buffer.from(password) },
    } as Packet)
    await client.#connected.promise
    return client
  }

  subscribe(topics: readonly string[], qos: 0 | 1): Promise<void> {
    const subscriptions = topics.map((topic) => ({ topic, qos }))
    return this.#ask((messageId) => ({ cmd: 'subscribe', messageId, subscriptions }) as Packet)
  }

  unsubscribe(topics: readonly string[]): Promise<void> {
    return this.#ask(
      (messageId) => ({ cmd: 'unsubscribe', messageId, unsubscriptions: [...topics] }) as Packet,
    )
  }

  publish(topic: string, content: string | Uint8Array, retain = false): Promise<void> {
    const payload = Buffer.from(content)
    return this.#ask(
      (messageId) => ({ cmd: 'publish', messageId, topic, payload, qos: 1, retain, dup: false }) as Packet,
    )
  }

  end(): void {
    this.#socket.destroy()
  }

  #ask(make: (messageId: number) => Packet): Promise<void> {
    if (!this.isUp) return Promise.reject(new Error('not connected'))
    this.#messageId = (this.#messageId % 65_535) + 1
    const id = this.#messageId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (error) => (error ? reject(error) : resolve()))
      this.#write(make(id))
    })
  }

  #write(packet: Packet): void {
    this.#socket.write(generate(packet))
  }

  #closed(): void {
    this.isUp = false
    const error = new Error('closed')
    this.#connected.reject(error)
    for (const settle of this.#waiting.values()) settle(error)
    this.#waiting.clear()
  }

  #read(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (!this.#frame) {
        this.#head.push(chunk[at++]!)
        const isWhole = this.#head.length > 1 && (this.#head.at(-1)! & 0x80) === 0
        if (!isWhole) continue
        // The remaining length: seven bits a byte, lowest first (MQTT 3.1.1 §2.2.3).
        const length = this.#head.slice(1).reduce((sum, byte, i) => sum + (byte & 0x7f) * 128 ** i, 0)
        this.#frame = Buffer.allocUnsafe(length)
        this.#filled = 0
      }
      const count = Math.min(chunk.length - at, this.#frame.length - this.#filled)
      chunk.copy(this.#frame, this.#filled, at, at + count)
      this.#filled += count
      at += count
      if (this.#filled < this.#frame.length) return
      const [kind, body] = [this.#head[0]!, this.#frame]
      this.#head = []
      this.#frame = undefined
      this.#take(kind >> 4, (kind >> 1) & 3, body)
    }
  }

  #take(kind: number, qos: number, body: Buffer): void {
    if (kind === 2) {
      if (body[1] === 0) this.#connected.resolve()
      else this.#connected.reject(new Error(`refused with ${body[1]}`))
    } else if (kind === 3) {
      const until = 2 + body.readUInt16BE(0)
      const topic = body.toString('utf8', 2, until)
      if (qos > 0) this.#write({ cmd: 'puback', messageId: body.readUInt16BE(until) } as Packet)
      this.onMessage(topic, body.subarray(qos > 0 ? until + 2 : until))
    } else if (kind === 4 || kind === 9 || kind === 11) {
      const id = body.readUInt16BE(0)
      this.#waiting.get(id)?.()
      this.#waiting.delete(id)
    }
  }
}
