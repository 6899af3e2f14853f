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

/** Puts a meter on a stream's reads. The broker pulls with `read`, so nothing gets past and nothing is copied. */
export function metered<S extends Duplex>(stream: S, meter: FrameMeter): S {
  const read = stream.read.bind(stream)
  stream.read = (size?: number) => {
    const chunk: unknown = read(size)
    if (!(chunk instanceof Uint8Array) || meter.take(chunk)) return chunk
    stream.destroy()
    return null
  }
  return stream
}
