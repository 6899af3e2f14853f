import type { Duplex } from 'node:stream'

/**
 * Watches the lengths of MQTT packets as their bytes pass (MQTT 3.1.1 §2.2), so that a packet that is too long is
 * noticed at its header. The broker itself would collect up to 256 MiB before it looked.
 */
export class FrameMeter {
  readonly #firstBytesMax: number
  readonly #bytesMax: number
  #frames = 0
  /** Bytes of the current packet's body still to come; undefined while its header is read. */
  #left: number | undefined
  #headerBytes = 0
  #length = 0

  /** @param firstBytesMax limit for the first packet, which comes from somebody we do not know yet */
  constructor(firstBytesMax: number, bytesMax: number) {
    this.#firstBytesMax = firstBytesMax
    this.#bytesMax = bytesMax
  }

  /** Packets begun so far. */
  get frames(): number {
    return this.#frames
  }

  /** False once a packet is longer than allowed, or its length field is none. Then nothing more may be read. */
  take(chunk: Uint8Array): boolean {
    let at = 0
    while (at < chunk.length) {
      if (this.#left === undefined) {
        if (!this.#takeHeaderByte(chunk[at]!)) return false
        at++
      } else {
        const step = Math.min(this.#left, chunk.length - at)
        this.#left -= step
        at += step
        if (this.#left === 0) this.#left = undefined
      }
    }
    return true
  }

  #takeHeaderByte(byte: number): boolean {
    this.#headerBytes++
    if (this.#headerBytes === 1) {
      this.#length = 0
      return true
    }
    // The remaining length: seven bits a byte, lowest first, at most four bytes.
    this.#length += (byte & 0x7f) * 128 ** (this.#headerBytes - 2)
    if (byte & 0x80) return this.#headerBytes < 5
    const bytesMax = this.#frames === 0 ? this.#firstBytesMax : this.#bytesMax
    if (this.#length > bytesMax) return false
    this.#frames++
    this.#headerBytes = 0
    this.#left = this.#length === 0 ? undefined : this.#length
    return true
  }
}

/**
 * A device in a hurry sends some ten packets a second: batches of 256 records, requests for 32 blocks, acknowledgements.
 * A burst is what it has to say after a long night.
 */
export const pace = { packetsPerSecond: 100, burst: 1_000 }
/** Below every keep-alive, so that whoever is made to wait is not taken for dead. */
const pauseMsMax = 5_000

/**
 * Flooding: reads of whoever sends faster than the pace are paused, and TCP passes that on to the sender. Nothing is
 * lost and nobody is thrown out; the hub's database hears one device no more often than it can hear all of them.
 */
class Pacer {
  readonly #nowMs: () => number
  #allowance = pace.burst
  #atMs: number

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#atMs = nowMs()
  }

  spend(packets: number): void {
    this.#refill()
    this.#allowance -= packets
  }

  /** Milliseconds until more may be read. */
  get pauseMs(): number {
    this.#refill()
    const debt = -this.#allowance
    return debt <= 0 ? 0 : Math.min(pauseMsMax, Math.ceil((debt * 1_000) / pace.packetsPerSecond))
  }

  #refill(): void {
    const nowMs = this.#nowMs()
    const earned = ((nowMs - this.#atMs) * pace.packetsPerSecond) / 1_000
    this.#allowance = Math.min(pace.burst, this.#allowance + earned)
    this.#atMs = nowMs
  }
}

/**
 * Puts a meter on a stream's reads. The broker pulls with `read`, so nothing gets past and nothing is copied.
 *
 * @param nowMs monotonic milliseconds
 */
export function metered<S extends Duplex>(
  stream: S,
  meter: FrameMeter,
  nowMs: () => number = () => performance.now(),
): S {
  const read = stream.read.bind(stream)
  const pacer = new Pacer(nowMs)
  let timer: NodeJS.Timeout | undefined
  stream.once('close', () => clearTimeout(timer))
  stream.read = (size?: number) => {
    const { pauseMs } = pacer
    if (pauseMs > 0) {
      clearTimeout(timer)
      timer = setTimeout(() => stream.destroyed || stream.emit('readable'), pauseMs)
      return null
    }
    const chunk: unknown = read(size)
    if (!(chunk instanceof Uint8Array)) return chunk
    const before = meter.frames
    if (!meter.take(chunk)) {
      stream.destroy()
      return null
    }
    pacer.spend(meter.frames - before)
    return chunk
  }
  return stream
}
