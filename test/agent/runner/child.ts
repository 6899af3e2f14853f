import { type ChildProcess, fork } from 'node:child_process'
import { createRequire } from 'node:module'
import type { FromRunner, ToRunner } from '@godwit/agent/runner/messages'
import { afterEach } from 'vitest'

const script = createRequire(import.meta.url).resolve('@godwit/agent/runner/main')
const children = new Set<ChildProcess>()

afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})

type Said<T extends FromRunner['type']> = Extract<FromRunner, { type: T }>

/** A real runner process, and a parent that does no more than talk to it. */
export class Child {
  readonly process: ChildProcess
  readonly heard: FromRunner[] = []
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  readonly #listeners = new Set<() => void>()
  #hasExited = false

  /** @param stdin a pipe that it finds as its standard input */
  constructor(env: Record<string, string | undefined> = {}, stdin?: number) {
    const { PATH, HOME } = process.env
    this.process = fork(script, [], {
      env: { PATH, HOME, ...env },
      serialization: 'advanced',
      execArgv: [],
      ...(stdin !== undefined && { stdio: [stdin, 'inherit', 'inherit', 'ipc'] as const }),
    })
    children.add(this.process)
    this.process.on('message', (message) => {
      this.heard.push(message as FromRunner)
      this.#tell()
    })
    this.exited = new Promise((resolve) => {
      this.process.once('exit', (code, signal) => {
        this.#hasExited = true
        resolve({ code, signal })
        this.#tell()
      })
    })
  }

  send(message: ToRunner): void {
    this.process.send(message, () => {})
  }

  /** The first message of a type from the `from`-th on; undefined when the runner ended without it. */
  async hear<T extends FromRunner['type']>(type: T, from = 0): Promise<Said<T> | undefined> {
    for (;;) {
      const found = this.heard.slice(from).find((message): message is Said<T> => message.type === type)
      if (found || this.#hasExited) return found
      await new Promise<void>((resolve) => this.#listeners.add(resolve))
    }
  }

  async ask<T extends FromRunner['type']>(message: ToRunner, type: T): Promise<Said<T> | Said<'failed'>> {
    const from = this.heard.length
    this.send(message)
    const answers = await Promise.race([this.hear(type, from), this.hear('failed', from)])
    if (!answers) throw new Error(`the runner ended before it said ${type}`)
    return answers
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
    this.#listeners.clear()
  }
}
