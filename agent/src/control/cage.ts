import type { ChildProcess, SendHandle } from 'node:child_process'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { DurationMs } from '@godwit/protocol/units'
import type { ApiOrder, Checkpoint, FromRunner, ToRunner } from '../runner/messages.ts'
import type { Runtime } from '../runner/session/session.ts'
import { forkRunner, type RunnerOrder } from './fork-runner.ts'
import { listenToStderr } from './hearing.ts'
import type { Log } from './log.ts'
import { memoryOf } from './process-memory.ts'
import { Silence } from './silence.ts'

/** How long a runner may take, and how large it may grow. Defaults and reasons are in `config/runner-config.ts`. */
export type CageLimits = {
  startMsMax: DurationMs
  loadMsMax: DurationMs
  selfTestMsMax: DurationMs
  handOverMsMax: DurationMs
  hangMsMax: DurationMs
  memoryBytesMax: number
}

/** Why a runner did not do what it was asked, in the words of a report. */
export class RunnerFailure extends Error {
  readonly code: ResultCode
  constructor(code: ResultCode, detail: string) {
    super(detail)
    this.name = 'RunnerFailure'
    this.code = code
  }
}

export type Exit = { expected: boolean; detail: string; code: ResultCode }

export type CageEvents = {
  window?(message: Extract<FromRunner, { type: 'window' }>): void
  sourceEnded?(): void
  /** The reason why it has no readings, undefined when it has again. */
  source?(because: string | undefined): void
  exit?(exit: Exit): void
}

type Waiting = {
  type: FromRunner['type']
  deadlineCode: ResultCode
  timer: NodeJS.Timeout
  resolve: (message: never) => void
  reject: (error: RunnerFailure) => void
}

const pingMs = 2_000
const memoryCheckMs = 500

/**
 * One runner process: starts it, holds it to its deadlines and its memory, and ends it. A model may loop for ever,
 * eat all memory or crash its runtime; all three end here as a code, and never in control.
 */
export class Cage {
  events: CageEvents = {}
  readonly #child: ChildProcess
  readonly #limits: CageLimits
  readonly #log: Log
  readonly #timers: NodeJS.Timeout[] = []
  readonly #exited: Promise<void>
  #waiting: Waiting | undefined
  #verdict: { code: ResultCode; detail: string } | undefined
  #ending = false
  #gone = false
  #pings = 0
  #silence: Silence | undefined
  #serves = false
  rssBytes = 0
  inferences = 0
  runtime: Runtime | undefined

  private constructor(child: ChildProcess, limits: CageLimits, log: Log) {
    this.#child = child
    this.#limits = limits
    this.#log = log
    this.#exited = new Promise((resolve) => {
      const end = (detail: string) => {
        if (this.#gone) return
        this.#onExit(detail)
        resolve()
      }
      child.once('exit', (code, signal) => end(signal ? `killed by ${signal}` : `exit code ${code}`))
      child.once('error', (error) => end(error.message))
    })
    child.on('message', (message) => this.#onMessage(message as FromRunner))
  }

  /** Resolves when the runner has said that it is there. @throws RunnerFailure */
  static async start(order: RunnerOrder & { limits: CageLimits }): Promise<Cage> {
    const { limits, log, ledger } = order
    const child = forkRunner(order)
    const { pid } = child
    if (pid !== undefined) {
      ledger.started(pid)
      child.once('exit', () => ledger.ended(pid))
    }
    const cage = new Cage(child, limits, log)
    listenToStderr(child, log)
    cage.#timers.push(setInterval(() => cage.#checkMemory(), memoryCheckMs).unref())
    const started = await cage.#wait('started', limits.startMsMax, 'selftest_timeout')
    cage.runtime = started.runtime
    return cage
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isGone(): boolean {
    return this.#gone
  }

  load(order: Omit<Extract<ToRunner, { type: 'load' }>, 'type'>) {
    return this.#ask({ type: 'load', ...order }, 'loaded', this.#limits.loadMsMax, 'selftest_timeout')
  }

  selfTest() {
    return this.#ask({ type: 'self-test' }, 'tested', this.#limits.selfTestMsMax, 'selftest_timeout')
  }

  /** @param durationMs how long the model is to run without a pause */
  bench(durationMs: DurationMs) {
    const deadlineMs = durationMs + this.#limits.hangMsMax
    return this.#ask({ type: 'bench', durationMs }, 'benched', deadlineMs, 'selftest_timeout')
  }

  async serve(order: Omit<Extract<ToRunner, { type: 'serve' }>, 'type'>): Promise<void> {
    this.#serves = true
    await this.#ask({ type: 'serve', ...order }, 'serving', this.#limits.startMsMax, 'probation_crash')
    this.#watchForHangs()
  }

  /** The last window comes before the answer, so both are in order. */
  async handOver(): Promise<Checkpoint> {
    const answer = await this.#ask(
      { type: 'hand-over' },
      'handed-over',
      this.#limits.handOverMsMax,
      'probation_crash',
    )
    return answer.checkpoint
  }

  settings(settings: Omit<Extract<ToRunner, { type: 'settings' }>, 'type'>): void {
    this.#send({ type: 'settings', ...settings })
  }

  stored(window: number): void {
    this.#send({ type: 'stored', window })
  }

  /** Requests are taken from it from now on, until `handOver`. */
  listen(api: ApiOrder, handle: unknown): void {
    if (this.#gone || !this.#child.connected) return
    this.#child.send({ type: 'listen', api } satisfies ToRunner, handle as SendHandle, () => {})
  }

  /**
   * Politely first; whatever is left after two seconds is killed.
   *
   * @param lingerMs on top of them, for callers that are still connected to find the runner that took over
   */
  async stop(lingerMs = 0): Promise<void> {
    if (this.#gone) return
    this.#ending = true
    this.#send({ type: 'stop', lingerMs })
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 2_000 + lingerMs)
    await this.#exited
    clearTimeout(timer)
  }

  async kill(): Promise<void> {
    this.#ending = true
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  #ask<T extends FromRunner['type']>(message: ToRunner, type: T, deadlineMs: DurationMs, code: ResultCode) {
    if (this.#gone)
      return Promise.reject(new RunnerFailure('internal', `the runner is gone before ${message.type}`))
    const answer = this.#wait(type, deadlineMs, code)
    this.#send(message)
    return answer
  }

  #wait<T extends FromRunner['type']>(
    type: T,
    deadlineMs: DurationMs,
    deadlineCode: ResultCode,
  ): Promise<Extract<FromRunner, { type: T }>> {
    return new Promise((resolve, reject) => {
      // An answer that came while we were stopped ourselves is read before the deadline is held against anybody.
      const isLate = () => {
        if (this.#waiting?.timer !== timer) return
        this.#condemn(deadlineCode, `no answer "${type}" within ${deadlineMs} ms`)
      }
      const timer = setTimeout(() => setImmediate(isLate), deadlineMs)
      this.#waiting = { type, deadlineCode, timer, resolve: resolve as Waiting['resolve'], reject }
    })
  }

  #onMessage(message: FromRunner): void {
    this.#silence?.broken()
    if (message.type === 'pong') {
      this.inferences = message.inferences
      this.#checkMemory(message.rssBytes)
      return
    }
    if (message.type === 'window') {
      this.events.window?.(message)
      return
    }
    if (message.type === 'source-ended') {
      this.events.sourceEnded?.()
      return
    }
    if (message.type === 'source-unavailable' || message.type === 'source-available') {
      this.events.source?.(message.type === 'source-available' ? undefined : message.detail)
      return
    }
    // Before anything it says counts: a model may load and answer between two looks at its memory.
    this.#checkMemory()
    if (this.#verdict) return
    if (message.type === 'failed') {
      // A runner that failed at what it was asked is of no further use.
      this.#condemn(message.code, message.detail)
      return
    }
    if (this.#waiting?.type !== message.type) {
      this.#log.warn({ type: message.type }, 'runner said something nobody asked for')
      return
    }
    const { timer, resolve } = this.#waiting
    clearTimeout(timer)
    this.#waiting = undefined
    resolve(message as never)
  }

  /** Decided from outside; the exit that follows is told with this reason. */
  #condemn(code: ResultCode, detail: string): void {
    this.#verdict ??= { code, detail }
    this.#child.kill('SIGKILL')
  }

  #onExit(how: string): void {
    this.#gone = true
    for (const timer of this.#timers) clearInterval(timer)
    const { code, detail } = this.#verdict ?? {
      code: this.#serves ? ('probation_crash' as const) : ('selftest_crash' as const),
      detail: `the runner ended: ${how}`,
    }
    if (this.#waiting) {
      clearTimeout(this.#waiting.timer)
      this.#waiting.reject(new RunnerFailure(code, detail))
      this.#waiting = undefined
    }
    this.events.exit?.({ expected: this.#ending, code, detail })
  }

  /**
   * The peak, because a spike between two looks counts as well.
   *
   * @param saidBytes what the runner says of itself, where the system says nothing
   */
  #checkMemory(saidBytes?: number): void {
    const memory = memoryOf(this.#child.pid) ?? (saidBytes && { rssBytes: saidBytes, peakBytes: saidBytes })
    if (!memory) return
    this.rssBytes = memory.rssBytes
    const ceiling = this.#limits.memoryBytesMax
    if (memory.peakBytes > ceiling)
      this.#condemn(
        this.#serves ? 'out_of_memory' : 'selftest_memory',
        `the runner held ${memory.peakBytes} bytes, at most ${ceiling} allowed`,
      )
  }

  /** A loop inside the model holds the runner's only thread, so its silence is the sign. */
  #watchForHangs(): void {
    const silence = new Silence(pingMs, performance.now())
    this.#silence = silence
    const timer = setInterval(() => {
      const silentMs = silence.lookedAt(performance.now())
      if (silentMs > this.#limits.hangMsMax)
        return this.#condemn('probation_crash', `no sign of life for ${Math.round(silentMs)} ms`)
      this.#send({ type: 'ping', id: ++this.#pings })
    }, pingMs)
    this.#timers.push(timer.unref())
  }

  #send(message: ToRunner): void {
    if (this.#gone || !this.#child.connected) return
    // A channel that breaks under the write is an exit, and told as one.
    this.#child.send(message, () => {})
  }
}
