import type { SlotGoal } from '@godwit/protocol/messages/directive'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { type Release, targetPathOf } from '@godwit/protocol/release/release'
import type { Stream } from '@godwit/protocol/topics'
import { FakeHub } from '../agent/control/support/fake-hub.ts'

/** A sequence number that came again with something else under it: one of the two readings is lost for ever. */
export type Conflict = { stream: Stream; seq: number; first: string; then: string }

/** What a hub remembers of a device, so that another one can take its place. */
export type HubMemory = Record<Stream, [number, unknown][]> & { sessions: string[] }

/** The hub that tests fake once for all, with an eye on what it is told twice. */
export class MatrixHub {
  readonly hub: FakeHub
  readonly conflicts: Conflict[] = []
  #releases = 0

  private constructor(hub: FakeHub, memory?: HubMemory) {
    this.hub = hub
    hub.sessions.push(...(memory?.sessions ?? []))
    for (const stream of ['event', 'window', 'health'] as const) {
      const held = new Audited(stream, this.conflicts)
      for (const [seq, body] of memory?.[stream] ?? []) held.set(seq, body)
      hub.records[stream] = held
    }
  }

  static async start(memory?: HubMemory): Promise<MatrixHub> {
    return new MatrixHub(await FakeHub.start(), memory)
  }

  nextReleaseCounter(): number {
    return ++this.#releases
  }

  /** A real bundle, as a publisher would sign it. */
  publishBundle(
    release: Release,
    bytes: Uint8Array,
    files: readonly Uint8Array[],
  ): Omit<SlotGoal, 'probation'> {
    const { model, version, releaseCounter } = release
    for (const file of [bytes, ...files]) this.hub.blobs.set(sha256Hex(file), Buffer.from(file))
    const releaseDigest = sha256Hex(bytes)
    this.hub.repository.targets.get('targets')!.targets[targetPathOf(model, version)] = {
      length: bytes.length,
      hashes: { sha256: releaseDigest },
      custom: { kind: release.format, model, version, releaseCounter },
    }
    this.hub.repository.publish()
    this.hub.publishMetadata()
    return { model, version, releaseDigest, releaseBytes: bytes.length }
  }

  get memory(): HubMemory {
    const { event, window, health } = this.hub.records
    return { event: [...event], window: [...window], health: [...health], sessions: [...this.hub.sessions] }
  }
}

class Audited extends Map<number, unknown> {
  readonly #stream: Stream
  readonly #conflicts: Conflict[]

  constructor(stream: Stream, conflicts: Conflict[]) {
    super()
    this.#stream = stream
    this.#conflicts = conflicts
  }

  override set(seq: number, body: unknown): this {
    const then = JSON.stringify(body)
    const first = JSON.stringify(this.get(seq))
    if (first !== undefined && first !== then)
      this.#conflicts.push({ stream: this.#stream, seq, first, then })
    return super.set(seq, body)
  }
}
