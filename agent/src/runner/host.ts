import { Fault } from '@godwit/protocol/fault'
import type { ResultCode } from '@godwit/protocol/result-code'
import { ApiError } from './api/api-error.ts'
import type { Handle, InferenceApi } from './api/inference-api.ts'
import { takeReadings } from './api/readings.ts'
import { serverVersion } from './api/server-version.ts'
import { Turns } from './api/turns.ts'
import type { Clock } from './clock.ts'
import { type Loaded, loadRelease, type OpenSession } from './load.ts'
import type { FromRunner, ToRunner } from './messages.ts'
import { testFeatures } from './pipeline/feature-test.ts'
import { fieldsUsedBy } from './pipeline/monitors.ts'
import { selfTest } from './self-test.ts'
import { Serving } from './serve.ts'
import { repeatable } from './session/golden-run.ts'
import { feedShape } from './session/signature.ts'
import type { Inbox } from './sources/inbox.ts'
import { openSource } from './sources/open.ts'
import { openPatiently } from './sources/patient.ts'
import { textOf } from './text-of.ts'
import { runFor } from './timing.ts'

export type HostParts = {
  send: (message: FromRunner) => void
  open: OpenSession
  clock: Clock
  rssBytes: () => number
  /** CPU time of this process so far, microseconds. */
  cpuMicros: () => number
  /** Everything said is on its way; the process may end. */
  stopped: () => void
}

/** Answers control's messages, one after the other; only `stored` and `ping` overtake. */
export class Host {
  readonly #parts: HostParts
  #loaded: Loaded | undefined
  #serving: Serving | undefined
  #api: InferenceApi | undefined
  /** Where readings that are posted wait; absent where they come from elsewhere. */
  #inbox: Inbox | undefined
  #hasHandedOver = false
  #queue: Promise<void> = Promise.resolve()

  constructor(parts: HostParts) {
    this.#parts = parts
  }

  /** @param handle comes with `listen` and belongs to control */
  take(message: ToRunner, handle?: unknown): void {
    const { send, rssBytes } = this.#parts
    if (message.type === 'stored') this.#serving?.stored(message.window)
    else if (message.type === 'ping') {
      const inferences = this.#serving?.inferences ?? 0
      send({ type: 'pong', id: message.id, rssBytes: rssBytes(), inferences })
    } else
      this.#queue = this.#queue.then(() => this.#obey(message, handle)).catch((error) => this.#fail(error))
  }

  #obey(message: Exclude<ToRunner, { type: 'stored' | 'ping' }>, handle: unknown): Promise<void> {
    if (message.type === 'load') return this.#load(message)
    if (message.type === 'self-test') return this.#selfTest()
    if (message.type === 'bench') return this.#bench(message)
    if (message.type === 'serve') return this.#serve(message)
    if (message.type === 'settings') return this.#set(message)
    if (message.type === 'listen') return this.#listen(message, handle as Handle | undefined)
    return message.type === 'hand-over' ? this.#handOver() : this.#stop(message)
  }

  async #load(order: Extract<ToRunner, { type: 'load' }>): Promise<void> {
    const { send, open, clock, rssBytes } = this.#parts
    const startMs = clock.monotonicMs()
    const loaded = await loadRelease(order, open)
    if (!loaded.ok) return this.#refuse(loaded.code, loaded.detail)
    this.#loaded = loaded.value
    const { loadedDigest, session } = loaded.value
    const loadMs = clock.monotonicMs() - startMs
    const { executionProvider, nodes } = session
    const where = { executionProvider, ...(nodes && { nodes }) }
    send({ type: 'loaded', loadedDigest, ...where, loadMs, rssBytes: rssBytes() })
  }

  async #selfTest(): Promise<void> {
    const { send, clock, rssBytes, cpuMicros } = this.#parts
    const { session, golden, loadedDigest, order, featureSession, featureGolden } = this.#required(
      this.#loaded,
      'load',
    )
    const { proofNonce } = order
    const features = featureSession && featureGolden && (await testFeatures(featureSession, featureGolden))
    if (features && !features.ok) return this.#refuse(features.code, features.detail)
    const means = { clock, rssBytes, cpuMicros }
    const tested = await selfTest({ session, golden, proofNonce, loadedDigest, ...means })
    if (!tested.ok) return this.#refuse(tested.code, tested.detail)
    send({ type: 'tested', ...tested.value })
  }

  async #bench({ durationMs }: Extract<ToRunner, { type: 'bench' }>): Promise<void> {
    const { send, clock } = this.#parts
    const { session, golden } = this.#required(this.#loaded, 'load')
    const run = repeatable(session, golden.cases[0]!)
    send({ type: 'benched', ...(await runFor(run, durationMs, () => clock.monotonicMs())) })
  }

  /** Serving goes on by itself; its end by a fault, of ours and not of the source, is told when it comes. */
  async #serve({
    source: config,
    windowMs,
    checkpoint,
  }: Extract<ToRunner, { type: 'serve' }>): Promise<void> {
    const { send, clock } = this.#parts
    const { session, featureSession, pipeline, profile, order } = this.#required(this.#loaded, 'load')
    const { slot, model, version, releaseDigest } = order
    const onInbox = (inbox: Inbox) => {
      this.#inbox = inbox
    }
    const open = (cursor: unknown) => openSource({ config, pipeline, cursor, slot, onInbox }, clock)
    const source = await openPatiently(open, checkpoint?.source, clock, (because) =>
      send(
        because === undefined
          ? { type: 'source-available' }
          : { type: 'source-unavailable', detail: because.slice(0, 1_000) },
      ),
    )
    const serves = { slot, model, version, releaseDigest }
    this.#serving = new Serving({
      session,
      featureSession,
      pipeline,
      inputShape: feedShape(pipeline, featureSession?.inputs ?? order.io.inputs),
      watchRequests: config.kind === 'api',
      turns: new Turns(clock),
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

  /** Requests are answered from here on, beside whatever the source brings. */
  async #listen(
    { api: order }: Extract<ToRunner, { type: 'listen' }>,
    handle: Handle | undefined,
  ): Promise<void> {
    const { clock, rssBytes } = this.#parts
    const serving = this.#required(this.#serving, 'serve')
    const { session, pipeline, order: load, loadedDigest } = this.#required(this.#loaded, 'load')
    if (!handle) throw new Fault('runner-order', 'control must send a listener with listen')
    // Node's HTTP server is 18 MB that a runner without callers does without.
    const { InferenceApi } = await import('./api/inference-api.ts')
    this.#api ??= new InferenceApi(
      {
        model: load.model,
        version: load.version,
        loadedDigest,
        io: load.io,
        session,
        infer: (feeds, outputs, limits) => serving.infer(feeds, outputs, limits),
        takeReadings: (body) => takeReadings(body, this.#openInbox(), fieldsUsedBy(pipeline), clock.now()),
        rssBytes,
        clock,
      },
      serverVersion(),
    )
    this.#api.listen(handle, order)
  }

  #openInbox(): Inbox {
    if (!this.#inbox) throw new ApiError(409, 'the source of this slot is not `api`')
    // What comes now would be in no checkpoint: the runner that takes over answers the next connection.
    if (this.#hasHandedOver) throw new ApiError(503, 'another runner takes over: send it again')
    return this.#inbox
  }

  async #handOver(): Promise<void> {
    this.#hasHandedOver = true
    this.#api?.stopListening()
    const checkpoint = await this.#required(this.#serving, 'serve').finish()
    this.#parts.send({ type: 'handed-over', checkpoint })
  }

  async #stop({ lingerMs = 0 }: Extract<ToRunner, { type: 'stop' }>): Promise<void> {
    this.#hasHandedOver = true
    // What failed was told already, and is no reason to stay.
    await this.#serving?.finish().catch(() => undefined)
    await this.#api?.leave(lingerMs)
    this.#serving?.closeLate()
    await this.#loaded?.session.release()
    await this.#loaded?.featureSession?.release()
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
