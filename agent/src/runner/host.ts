import { Fault } from '@godwit/protocol/fault'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { Clock } from './clock.ts'
import { type Loaded, loadRelease, type OpenSession } from './load.ts'
import type { FromRunner, ToRunner } from './messages.ts'
import { fieldsUsedBy } from './pipeline/monitors.ts'
import { selfTest } from './self-test.ts'
import { Serving } from './serve.ts'
import { feedShape } from './session/signature.ts'
import { openSource } from './sources/open.ts'

export type HostParts = {
  send: (message: FromRunner) => void
  open: OpenSession
  clock: Clock
  rssBytes: () => number
  /** Everything said is on its way; the process may end. */
  stopped: () => void
}

/** Answers control's messages, one after the other; only `stored` and `ping` overtake. */
export class Host {
  readonly #parts: HostParts
  #loaded: Loaded | undefined
  #serving: Serving | undefined
  #queue: Promise<void> = Promise.resolve()

  constructor(parts: HostParts) {
    this.#parts = parts
  }

  take(message: ToRunner): void {
    const { send, rssBytes } = this.#parts
    if (message.type === 'stored') this.#serving?.stored(message.window)
    else if (message.type === 'ping') {
      const inferences = this.#serving?.inferences ?? 0
      send({ type: 'pong', id: message.id, rssBytes: rssBytes(), inferences })
    } else this.#queue = this.#queue.then(() => this.#obey(message)).catch((error) => this.#fail(error))
  }

  #obey(message: Exclude<ToRunner, { type: 'stored' | 'ping' }>): Promise<void> {
    if (message.type === 'load') return this.#load(message)
    if (message.type === 'self-test') return this.#selfTest(message)
    if (message.type === 'serve') return this.#serve(message)
    if (message.type === 'settings') return this.#set(message)
    return message.type === 'hand-over' ? this.#handOver() : this.#stop()
  }

  async #load(order: Extract<ToRunner, { type: 'load' }>): Promise<void> {
    const { send, open, clock, rssBytes } = this.#parts
    const startMs = clock.monotonicMs()
    const loaded = await loadRelease(order, open)
    if (!loaded.ok) return this.#refuse(loaded.code, loaded.detail)
    this.#loaded = loaded.value
    const { loadedDigest, session } = loaded.value
    const loadMs = clock.monotonicMs() - startMs
    const { executionProvider } = session
    send({ type: 'loaded', loadedDigest, executionProvider, loadMs, rssBytes: rssBytes() })
  }

  async #selfTest({ promises }: Extract<ToRunner, { type: 'self-test' }>): Promise<void> {
    const { send, clock, rssBytes } = this.#parts
    const { session, golden, loadedDigest, order } = this.#required(this.#loaded, 'load')
    const { proofNonce } = order
    const tested = await selfTest({ session, golden, promises, proofNonce, loadedDigest, clock, rssBytes })
    if (!tested.ok) return this.#refuse(tested.code, tested.detail)
    send({ type: 'tested', ...tested.value })
  }

  /** Serving goes on by itself; its end by a fault is told when it comes. */
  async #serve({
    source: config,
    windowMs,
    checkpoint,
  }: Extract<ToRunner, { type: 'serve' }>): Promise<void> {
    const { send, clock } = this.#parts
    const { session, pipeline, profile, order } = this.#required(this.#loaded, 'load')
    const source = await openSource(config, fieldsUsedBy(pipeline), checkpoint?.source, clock)
    const { slot, model, version, releaseDigest } = order
    const serves = { slot, model, version, releaseDigest }
    this.#serving = new Serving({
      session,
      pipeline,
      inputShape: feedShape(pipeline, order.io.inputs),
      profile,
      serves,
      clock,
      checkpoint,
      source,
      windowMs,
      send,
    })
    send({ type: 'serving' })
    this.#serving.run().catch((error) => this.#fail(error))
  }

  /** Nothing to set before it serves: the order to serve says it all. */
  async #set({ windowMs }: Extract<ToRunner, { type: 'settings' }>): Promise<void> {
    this.#serving?.setWindowMs(windowMs)
  }

  async #handOver(): Promise<void> {
    const checkpoint = await this.#required(this.#serving, 'serve').finish()
    this.#parts.send({ type: 'handed-over', checkpoint })
  }

  async #stop(): Promise<void> {
    // A source that failed was told already, and is no reason to stay.
    await this.#serving?.finish().catch(() => undefined)
    await this.#loaded?.session.release()
    this.#parts.stopped()
  }

  #required<T>(value: T | undefined, before: string): T {
    if (value === undefined) throw new Fault('runner-order', `control must send ${before} before that`)
    return value
  }

  #refuse(code: ResultCode, detail: string): void {
    this.#parts.send({ type: 'failed', code, detail: detail.slice(0, 1_000) })
  }

  #fail(error: unknown): void {
    this.#refuse('internal', textOf(error))
  }
}

/** With its causes: the reason is often in the innermost. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = error instanceof Fault ? `${error.code}: ` : ''
  return code + error.message + (error.cause === undefined ? '' : `: ${textOf(error.cause)}`)
}
