import type { Readable } from 'node:stream'

export type ByteRange = { offset: number; length: number }

/** Files by their SHA-256 (64 hex digits, lower case). A directory here, an object store elsewhere. */
export type Blobs = {
  /** In bytes; undefined when there is no such blob. */
  sizeOf(sha256: string): Promise<number | undefined>
  /**
   * Stores the stream under the digest it turns out to have, which must be `sha256`: Fault `digest-mismatch`
   * otherwise, `payload-too-large` beyond the limit, and nothing is kept.
   */
  put(sha256: string, content: AsyncIterable<Uint8Array>): Promise<{ created: boolean; sizeBytes: number }>
  /** Undefined when there is no such blob. The range must lie inside. */
  get(sha256: string, range?: ByteRange): Promise<Readable | undefined>
  /** One block as bytes; undefined when there is no such blob or the range does not lie inside it. */
  readBlock(sha256: string, range: ByteRange): Promise<Uint8Array | undefined>
  /** The whole blob as bytes, for documents; undefined when absent, Fault when larger than `bytesMax`. */
  read(sha256: string, bytesMax: number): Promise<Uint8Array | undefined>
}
