import type { DurationMs } from '@godwit/protocol/units'
import { type QueueLimits, Turns } from './api/turns.ts'
import type { Checkpoint, FromRunner } from './messages.ts'
import { type PathParts, ReadingPath } from './reading-path.ts'
import type { Tensors } from './session/session.ts'
import type { Source } from './sources/source.ts'
import { WindowTally } from './window-tally.ts'

export type Inferred = { answer: Tensors; queueMs: number; computeMs: number }

/** Windows that control may have outstanding before the source pauses: a full disk there must not fill memory here. */
export const unstoredMax = 8

export type ServingParts = Omit<PathParts, 'tally'> & {
  source: Source
  windowMs: DurationMs
  send: (message: FromRunner) => void
  /** Between the source and the requests of the local API; absent: nobody requests. */
  turns?: Turns
}

/**
 * Reads, infers, counts, and closes a window now and then. A window goes out together with the checkpoint that
 * belongs to it; whoever stores both in one transaction can kill this process at any time and resume exactly.
 */
export class Serving {
  readonly #parts: ServingParts
  readonly #tally: WindowTally
  readonly #path: ReadingPath
  readonly #turns: Turns
  #windowMs: DurationMs
  #windowSinceMs = 0
  #cursor: unknown
  #closed = 0
  #stored = 0
  #inferencesBefore = 0
  #windowEndsMs = 0
  #isDue = false
  #cancelTimer: () => void = () => {}
  /** Aborted to take the loop out of its wait, whatever for. */
  #interrupt = new AbortController()
  #isFinishing = false
  #hasEnded = false
  #loop: Promise<void> = Promise.resolve()
  #finished: Promise<Checkpoint> | undefined

  constructor(parts: ServingParts) {
    this.#parts = parts
    this.#windowMs = parts.windowMs
    this.#tally = new WindowTally(parts.clock.now())
    this.#path = new ReadingPath({ ...parts, tally: this.#tally })
    this.#turns = parts.turns ?? new Turns(parts.clock)
    this.#cursor = parts.checkpoint?.source ?? null
  }

  get inferences(): number {
    return this.#inferencesBefore + this.#tally.inferences
  }

  /** Resolves when `finish` was called, rejects when the source fails; it is patient where that shall be no end. Call once. */
  run(): Promise<void> {
    this.#startWindow()
    this.#loop = this.#serve().finally(() => {
      this.#cancelTimer()
      return this.#parts.source.close()
    })
    return this.#loop
  }

  /** One request of the local inference API, when it is its turn. @throws NoTurn, or what the runtime throws */
  async infer(feeds: Tensors, outputs: readonly string[], limits: QueueLimits): Promise<Inferred> {
    const { clock } = this.#parts
    const cameMs = clock.monotonicMs()
    await this.#turns.takeForRequest(limits)
    const beganMs = clock.monotonicMs()
    try {
      const answer = await this.#path.answer(feeds, outputs)
      return { answer, queueMs: beganMs - cameMs, computeMs: clock.monotonicMs() - beganMs }
    } finally {
      this.#turns.done()
      if (this.#path.isFull) this.#interrupt.abort()
    }
  }

  /** What was answered after `finish`, in a window of its own: no place in the source belongs to it. */
  closeLate(): void {
    if (this.#tally.readings === 0) return
    const { record, events } = this.#tally.close(this.#parts.serves, this.#parts.clock.now())
    this.#parts.send({ type: 'window', window: ++this.#closed, record, events })
  }

  /** Control has taken over this window and all before it. */
  stored(window: number): void {
    const wasPaused = !this.#hasCredit
    this.#stored = Math.max(this.#stored, window)
    if (wasPaused) this.#interrupt.abort()
  }

  /** Holds for the window that is open as well: it closes at once when it has lasted that long already. */
  setWindowMs(windowMs: DurationMs): void {
    if (windowMs === this.#windowMs) return
    this.#windowMs = windowMs
    if (!this.#isFinishing) this.#scheduleEnd()
  }

  /** Lets the reading in flight end, sends the last window, and returns where the next one goes on. */
  finish(): Promise<Checkpoint> {
    this.#isFinishing = true
    this.#interrupt.abort()
    this.#finished ??= this.#loop.then(() => {
      this.#path.handedOver()
      return this.#closeWindow()
    })
    return this.#finished
  }

  get #hasCredit(): boolean {
    return this.#closed - this.#stored < unstoredMax
  }

  async #serve(): Promise<void> {
    while (!this.#isFinishing) {
      // Renewed before the questions below: what is asked from here on interrupts the wait that follows them.
      if (this.#interrupt.signal.aborted) this.#interrupt = new AbortController()
      if (this.#hasCredit && this.#mustClose()) this.#nextWindow()
      if (this.#hasCredit && !this.#hasEnded) await this.#read(this.#interrupt.signal)
      else await aborted(this.#interrupt.signal)
    }
  }

  /** Reading after reading, until there is something else to do. */
  async #read(signal: AbortSignal): Promise<void> {
    const { source } = this.#parts
    try {
      while (!signal.aborted) {
        const next = await source.next(signal)
        if (!next) return this.#sourceEnded()
        if (!this.#turns.takeIfFree()) await this.#turns.take()
        let doneMs: number
        try {
          doneMs = await this.#path.take(next.reading)
        } finally {
          this.#turns.done()
        }
        this.#cursor = next.cursor
        if (doneMs >= this.#windowEndsMs || this.#path.isFull) return
      }
    } catch (error) {
      if (!signal.aborted || (error as Error).name !== 'AbortError') throw error
    }
  }

  #sourceEnded(): void {
    this.#hasEnded = true
    this.#path.endOfSource()
    this.#nextWindow()
    this.#parts.send({ type: 'source-ended' })
  }

  #mustClose(): boolean {
    return this.#isDue || this.#path.isFull || this.#parts.clock.monotonicMs() >= this.#windowEndsMs
  }

  #startWindow(): void {
    this.#isDue = false
    this.#windowSinceMs = this.#parts.clock.monotonicMs()
    this.#scheduleEnd()
  }

  #scheduleEnd(): void {
    const { clock } = this.#parts
    this.#cancelTimer()
    this.#windowEndsMs = this.#windowSinceMs + this.#windowMs
    // For sources that keep still: a window without readings is news too.
    this.#cancelTimer = clock.after(Math.max(0, this.#windowEndsMs - clock.monotonicMs()), () => {
      this.#isDue = true
      this.#interrupt.abort()
    })
  }

  #nextWindow(): void {
    this.#closeWindow()
    this.#startWindow()
  }

  #closeWindow(): Checkpoint {
    const { clock, send, serves, source } = this.#parts
    this.#inferencesBefore += this.#tally.inferences
    const { record, events } = this.#tally.close(serves, clock.now(), source.dropped?.())
    const place = source.position ? source.position() : this.#cursor
    const checkpoint = { source: place, ...this.#path.snapshot() }
    send({ type: 'window', window: ++this.#closed, record, events, checkpoint })
    return checkpoint
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
