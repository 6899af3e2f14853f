import { once } from 'node:events'
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net'
import { Dice } from './dice.ts'

/**
 * What a link does to the bytes on it. TCP shows a lost segment as a pause, so loss is a stall here: nothing arrives
 * until the retransmission has, and then everything in order.
 */
export type Weather = {
  /** One way, in both directions. */
  delayMs?: number
  /** Both directions, each for itself. */
  bytesPerSecond?: number
  /** With this chance a piece of at most 16 KiB waits so long, and everything behind it. */
  stall?: { chance: number; ms: number }
  /** Every connection is reset so long after it was opened. */
  cutAfterMs?: number
  /** So many bytes go down a connection; then it ends as if that were all. */
  truncateAfterBytes?: number
  /** So many bytes go down a connection; then it is reset. */
  resetAfterBytes?: number
  /** The same of what goes up: fewer bytes than a CONNECT has, and the hub never learns who it was. */
  resetAfterBytesUp?: number
  /** Takes what comes and lets nothing through, and says nothing: the far end of a link that is half open. */
  silent?: boolean
}

const pieceBytesMax = 16_384
/** What is under way at most in one direction; then the sender has to wait. */
const queueBytesMax = 262_144

/**
 * A bad network between a device and its hub: a TCP proxy that delays, loses, slows, cuts, truncates and falls silent.
 * It forwards bytes and knows no protocol. "Down" is from the hub to the device. Its dice have a seed.
 */
export class LossyLink {
  bytesUp = 0
  bytesDown = 0
  /** Opened so far, and those that the link itself has ended. */
  connections = 0
  cuts = 0
  readonly #server: Server
  readonly #target: { host: string; port: number }
  readonly #pairs = new Set<Pair>()
  #weather: Weather
  #isCut = false
  readonly #dice: Dice

  private constructor(
    server: Server,
    target: { host: string; port: number },
    weather: Weather,
    seed: number,
  ) {
    this.#server = server
    this.#target = target
    this.#weather = weather
    this.#dice = new Dice(seed)
  }

  static async open(
    target: { readonly host?: string; readonly port: number },
    weather: Weather = {},
    seed = 1,
  ): Promise<LossyLink> {
    const server = createServer({ noDelay: true })
    const link = new LossyLink(server, { host: target.host ?? '127.0.0.1', port: target.port }, weather, seed)
    server.on('connection', (near) => link.#accept(near))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return link
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** From now on, also for connections that are open; limits by bytes count from each connection's own beginning. */
  set weather(weather: Weather) {
    this.#weather = weather
  }

  /** Ends what is connected and refuses what comes, until `restore`. */
  cut(): void {
    this.#isCut = true
    this.cutOnce()
  }

  /** Ends what is connected; the next connection gets through. */
  cutOnce(): void {
    for (const pair of [...this.#pairs]) this.#end(pair, 'reset')
  }

  restore(): void {
    this.#isCut = false
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #accept(near: Socket): void {
    near.on('error', () => near.destroy())
    if (this.#isCut) {
      near.resetAndDestroy()
      return
    }
    this.connections++
    const far = createConnection({ ...this.#target, noDelay: true })
    far.on('error', () => far.destroy())
    const pair: Pair = { near, far, timer: undefined }
    this.#pairs.add(pair)
    const { cutAfterMs } = this.#weather
    if (cutAfterMs !== undefined) pair.timer = setTimeout(() => this.#end(pair, 'reset'), cutAfterMs)
    let up = 0
    this.#carry(
      near,
      far,
      (bytes) => {
        this.bytesUp += bytes
        up += bytes
        if (up < (this.#weather.resetAfterBytesUp ?? Infinity)) return 'go on'
        this.#end(pair, 'reset')
        return 'ended'
      },
      () => (this.#weather.resetAfterBytesUp ?? Infinity) - up,
    )
    let down = 0
    this.#carry(
      far,
      near,
      (bytes) => {
        this.bytesDown += bytes
        down += bytes
        const { truncateAfterBytes, resetAfterBytes } = this.#weather
        if (truncateAfterBytes !== undefined && down >= truncateAfterBytes) this.#end(pair, 'end')
        else if (resetAfterBytes !== undefined && down >= resetAfterBytes) this.#end(pair, 'reset')
        else return 'go on'
        return 'ended'
      },
      () => {
        const { truncateAfterBytes = Infinity, resetAfterBytes = Infinity } = this.#weather
        return Math.min(truncateAfterBytes, resetAfterBytes) - down
      },
    )
    for (const socket of [near, far]) {
      socket.on('close', () => {
        this.#pairs.delete(pair)
        clearTimeout(pair.timer)
        // What is under way still arrives; a reset is not.
        const other = socket === near ? far : near
        if (!this.#weather.silent) setTimeout(() => other.destroy(), 2 * (this.#weather.delayMs ?? 0))
      })
    }
  }

  #end(pair: Pair, how: 'end' | 'reset'): void {
    this.cuts++
    this.#pairs.delete(pair)
    clearTimeout(pair.timer)
    pair.far.destroy()
    if (how === 'reset') pair.near.resetAndDestroy()
    else pair.near.end()
  }

  /** One direction: pieces in order, each with the time at which it may arrive. */
  #carry(
    from: Socket,
    to: Socket,
    passed: (bytes: number) => 'go on' | 'ended',
    room = () => Infinity,
  ): void {
    const queue: { bytes: Buffer; dueMs: number }[] = []
    let queuedBytes = 0
    let freeAtMs = 0
    let timer: NodeJS.Timeout | undefined
    const deliver = () => {
      timer = undefined
      for (let next = queue[0]; next; next = queue[0]) {
        const waitMs = next.dueMs - performance.now()
        if (waitMs > 0) {
          timer = setTimeout(deliver, waitMs)
          return
        }
        queue.shift()
        queuedBytes -= next.bytes.length
        if (this.#weather.silent || to.destroyed) continue
        const bytes = next.bytes.subarray(0, Math.max(0, room()))
        const hasRoom = to.write(bytes)
        if (passed(bytes.length) === 'ended') return
        if (!hasRoom) {
          to.once('drain', deliver)
          return
        }
        if (queuedBytes < queueBytesMax) from.resume()
      }
      from.resume()
    }
    from.on('data', (chunk: Buffer) => {
      const { bytesPerSecond = Infinity, delayMs = 0, stall } = this.#weather
      // Slow links drip: a twentieth of a second at a time.
      const pieceBytes = Math.max(1, Math.min(pieceBytesMax, Math.ceil(bytesPerSecond / 20)))
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        const bytes = chunk.subarray(at, at + pieceBytes)
        const stallMs = stall && this.#dice.roll() < stall.chance ? stall.ms : 0
        freeAtMs = Math.max(freeAtMs, performance.now()) + (bytes.length * 1_000) / bytesPerSecond + stallMs
        queue.push({ bytes, dueMs: freeAtMs + delayMs })
        queuedBytes += bytes.length
      }
      if (queuedBytes >= queueBytesMax) from.pause()
      if (timer === undefined) deliver()
    })
  }
}

type Pair = { near: Socket; far: Socket; timer: NodeJS.Timeout | undefined }
