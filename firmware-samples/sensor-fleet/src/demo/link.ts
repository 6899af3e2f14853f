import { once } from 'node:events'
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net'

/**
 * A link between a device and its hub that can be cut and tampered with. It forwards bytes and knows nothing of MQTT:
 * what it does to them is what a bad network or a man in the middle would do.
 */
export class Link {
  readonly #server: Server
  readonly #target: { host: string; port: number }
  readonly #pairs = new Set<{ near: Socket; far: Socket }>()
  #cut = false
  #tamper: ((bytes: Buffer) => Buffer) | undefined
  #bytesPerSecond = Number.POSITIVE_INFINITY

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server
    this.#target = target
  }

  static async open(target: { host: string; port: number }): Promise<Link> {
    const server = createServer({ noDelay: true })
    const link = new Link(server, target)
    server.on('connection', (near) => link.#accept(near))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return link
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get isCut(): boolean {
    return this.#cut
  }

  /** Ends what is connected and refuses what comes, until `restore`. */
  cut(): void {
    this.#cut = true
    for (const { near, far } of this.#pairs) {
      near.destroy()
      far.destroy()
    }
  }

  restore(): void {
    this.#cut = false
  }

  /** Every chunk from hub to device passes through `change` until it is called again without one. */
  tamper(change?: (bytes: Buffer) => Buffer): void {
    this.#tamper = change
  }

  /** From hub to device no more than this, until it is called again without a number. */
  slow(bytesPerSecond = Number.POSITIVE_INFINITY): void {
    this.#bytesPerSecond = bytesPerSecond
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #accept(near: Socket): void {
    near.on('error', () => near.destroy())
    if (this.#cut) {
      near.destroy()
      return
    }
    const far = createConnection({ ...this.#target, noDelay: true })
    const pair = { near, far }
    this.#pairs.add(pair)
    const end = () => {
      this.#pairs.delete(pair)
      near.destroy()
      far.destroy()
    }
    far.on('error', end)
    near.on('close', end)
    far.on('close', end)
    near.pipe(far)
    far.on('data', (bytes: Buffer) => {
      const hasRoom = near.write(this.#tamper ? this.#tamper(bytes) : bytes)
      const waitMs = (bytes.length / this.#bytesPerSecond) * 1_000
      if (hasRoom && waitMs === 0) return
      far.pause()
      let reasons = 2
      const goOn = () => {
        if (--reasons === 0) far.resume()
      }
      setTimeout(goOn, waitMs)
      if (hasRoom) goOn()
      else near.once('drain', goOn)
    })
  }
}

/**
 * Flips one bit wherever one of the patterns passes by within a chunk. Several patterns, because one may be split
 * between two chunks. Counts how often it did.
 */
export function bitFlipper(patterns: readonly Buffer[]): {
  change: (bytes: Buffer) => Buffer
  readonly flipped: number
} {
  let flipped = 0
  return {
    get flipped() {
      return flipped
    },
    change(bytes) {
      const changed = Buffer.from(bytes)
      for (const pattern of patterns) {
        for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + pattern.length)) {
          changed[at] = changed[at]! ^ 1
          flipped++
        }
      }
      return changed
    },
  }
}
