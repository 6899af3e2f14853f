import { Readable } from 'node:stream'

type Packet = { topic: string; payload: { length: number } }
type Node<P> = { packet?: P; below: Map<string, Node<P>> }

/**
 * Retained messages by the levels of their topics. The broker's own store tries every message on every filter of a
 * SUBSCRIBE: with three retained messages a device, 10,000 devices that come back would cost 10^9 comparisons.
 */
export class Retained<P extends Packet> {
  readonly #root: Node<P> = { below: new Map() }

  /** An empty payload takes the message away (MQTT 3.1.1, 3.3.1.3). */
  store(packet: P): void {
    const levels = packet.topic.split('/')
    if (packet.payload.length > 0) this.#nodeAt(levels).packet = packet
    else remove(this.#root, levels)
  }

  *matching(filter: string): Generator<P> {
    yield* found(this.#root, filter.split('/'))
  }

  #nodeAt(levels: readonly string[]): Node<P> {
    let node = this.#root
    for (const level of levels) {
      const next: Node<P> = node.below.get(level) ?? { below: new Map() }
      node.below.set(level, next)
      node = next
    }
    return node
  }
}

function* found<P>(node: Node<P>, [level, ...rest]: readonly string[]): Generator<P> {
  if (level === undefined) {
    if (node.packet) yield node.packet
  } else if (level === '#') {
    yield* all(node)
  } else if (level === '+') {
    for (const next of node.below.values()) yield* found(next, rest)
  } else {
    const next = node.below.get(level)
    if (next) yield* found(next, rest)
  }
}

function* all<P>({ packet, below }: Node<P>): Generator<P> {
  if (packet) yield packet
  for (const next of below.values()) yield* all(next)
}

/** Emptied branches go with it: devices come and go. */
function remove<P>(node: Node<P>, [level, ...rest]: readonly string[]): void {
  if (level === undefined) {
    delete node.packet
    return
  }
  const next = node.below.get(level)
  if (!next) return
  remove(next, rest)
  if (!next.packet && next.below.size === 0) node.below.delete(level)
}

/** The part of an aedes persistence that retained messages need. */
export function retainedPersistence<P extends Packet>(retained = new Retained<P>()) {
  const createRetainedStreamCombi = (filters: readonly string[]) =>
    Readable.from(filters.flatMap((filter) => [...retained.matching(filter)]))
  return {
    storeRetained: async (packet: P) => retained.store({ ...packet }),
    createRetainedStream: (filter: string) => createRetainedStreamCombi([filter]),
    createRetainedStreamCombi,
  }
}
