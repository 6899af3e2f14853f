import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { createInterface } from 'node:readline'

const lastWordsLengthMax = 2_000

/** No child of ours writes to a terminal; one that is told both to colour and not to says so where its answer belongs. */
function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _, ...own } = process.env
  return { ...own, NO_COLOR: '1', ...more }
}

/** A program of ours as a process of its own: hub, agent or command. Its standard error goes to a log file. */
export class Program {
  readonly name: string
  readonly #child: ChildProcess
  readonly #log: WriteStream
  readonly ended: Promise<number>
  readonly #lines: AsyncIterableIterator<string>
  #lastWords = ''

  constructor(
    name: string,
    args: string[],
    options: { log: string; env?: NodeJS.ProcessEnv; onLine?: (line: string) => void },
  ) {
    this.name = name
    this.#log = createWriteStream(options.log, { flags: 'a' })
    this.#child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(options.env),
      // A group of its own, so that the terminal's Ctrl-C reaches the story first and it can end everything in order.
      detached: true,
    })
    this.#child.stderr!.pipe(this.#log, { end: false })
    this.#child.stderr!.on('data', (text: Buffer) => {
      this.#lastWords = (this.#lastWords + text.toString()).slice(-lastWordsLengthMax)
    })
    this.#lines = createInterface({ input: this.#child.stdout! })[
      Symbol.asyncIterator
    ]() as AsyncIterableIterator<string>
    this.ended = new Promise((resolve) => {
      // Not `exit`: what it said last may still be on its way then.
      this.#child.once('close', (code, signal) => resolve(code ?? (signal ? 128 : 1)))
      this.#child.once('error', () => resolve(127))
    })
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** The last line on standard error: why it ended, when it ended by itself. */
  get lastWords(): string {
    return this.#lastWords.trimEnd().split('\n').at(-1) ?? ''
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The next line on standard output; undefined when the program ended first. */
  async nextLine(): Promise<string | undefined> {
    const next = await this.#lines.next()
    return next.done ? undefined : next.value
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(signal)
  }

  /** Asks, then insists: SIGKILL goes to the whole group, so that no child of the program stays behind. */
  async stop(graceMs = 8_000): Promise<void> {
    if (!this.isRunning) return
    this.signal('SIGTERM')
    const late = setTimeout(() => this.killGroup(), graceMs)
    await this.ended
    clearTimeout(late)
    this.killGroup()
  }

  killGroup(): void {
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // The group has already ended.
    }
  }
}

/** Runs a command to its end and returns what it printed; its exit code decides between value and error. */
export async function runCommand(
  args: string[],
  env: NodeJS.ProcessEnv,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(env),
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.once('error', (error) => resolve({ code: 127, stdout, stderr: String(error) }))
    child.once('close', (code) => resolve({ code: code ?? 128, stdout, stderr }))
  })
}
