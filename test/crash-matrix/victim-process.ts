import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FromVictim, RunOrder, Said, ToVictim } from './victim-messages.ts'

const script = fileURLToPath(new URL('./victim.ts', import.meta.url))

/** The matrix's end of a victim: what it has said, and whether it lives. */
export class Victim {
  readonly said: Said[] = []
  readonly exited: Promise<string>
  main = 0
  pool = 0
  exit: string | undefined
  state: 'ready' | 'running' | 'start-failed' | 'stopped' | 'stop-failed' | 'busy' = 'busy'
  because = ''
  #stderr = ''
  readonly #child: ChildProcess
  readonly #listeners = new Set<() => void>()

  private constructor() {
    this.#child = fork(script, [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // One thread does all asynchronous file work, in the order in which it was asked for.
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    })
    this.exited = new Promise((resolve) =>
      this.#child.once('exit', (code, signal) => {
        this.exit = signal ?? `exit code ${code}${this.#stderr && `: ${this.#stderr.trim().slice(-600)}`}`
        this.#tell()
        resolve(this.exit)
      }),
    )
    this.#child.stderr!.on('data', (bytes: Buffer) => {
      this.#stderr = (this.#stderr + bytes.toString()).slice(-4_000)
    })
    this.#child.on('message', (message: FromVictim) => this.#heard(message))
  }

  /** Resolves when everything is loaded and the first order may come. */
  static async start(): Promise<Victim> {
    const victim = new Victim()
    await victim.until(() => victim.state === 'ready')
    return victim
  }

  #heard(message: FromVictim): void {
    if (message.type === 'said') this.said.push(message)
    else {
      this.state = message.type
      if (message.type === 'ready') Object.assign(this, { main: message.main, pool: message.pool })
      if ('because' in message) this.because = message.because
    }
    this.#tell()
  }

  run(order: RunOrder): void {
    this.#order({ type: 'run', ...order })
  }

  stop(): void {
    this.#order({ type: 'stop' })
  }

  #order(order: ToVictim): void {
    this.said.length = 0
    this.state = 'busy'
    this.because = ''
    if (this.#child.connected) this.#child.send(order, () => {})
  }

  get isGone(): boolean {
    return this.exit !== undefined
  }

  /** Until it has said something, or ended, in a way that makes this true; false when it did not in that time. */
  until(isTrue: () => boolean, limitMs = 60_000): Promise<boolean> {
    if (isTrue()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (value: boolean) => {
        clearTimeout(limit)
        this.#listeners.delete(look)
        resolve(value)
      }
      const limit = setTimeout(() => end(false), limitMs)
      const look = () => isTrue() && end(true)
      this.#listeners.add(look)
    })
  }

  /** The same question asked again for a reason of somebody else's. */
  look(): void {
    this.#tell()
  }

  /** Process ids of its children: the runners. */
  get children(): number[] {
    try {
      const text = readFileSync(`/proc/${this.main}/task/${this.main}/children`, 'utf8')
      return text.split(' ').filter(Boolean).map(Number)
    } catch {
      return []
    }
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
