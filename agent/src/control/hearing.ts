import type { ChildProcess } from 'node:child_process'
import type { Log } from './log.ts'

const windowMs = 10_000
const bytesPerWindow = 4_000

/** What may be logged of a stream that may be without end: so much, then silence, then how much was left out. */
export class Hearing {
  #sinceMs = Number.NEGATIVE_INFINITY
  #heard = 0
  #leftOut = 0

  /** @returns the text to log, if any, and the bytes that were left out before it */
  take(bytes: Uint8Array, nowMs: number): { text: string; leftOut: number } | undefined {
    if (nowMs - this.#sinceMs >= windowMs) {
      this.#sinceMs = nowMs
      this.#heard = 0
    }
    const room = bytesPerWindow - this.#heard
    const heard = bytes.subarray(0, Math.max(0, room))
    this.#heard += heard.length
    const leftOut = this.#leftOut
    this.#leftOut = heard.length > 0 ? bytes.length - heard.length : leftOut + bytes.length
    if (heard.length === 0) return undefined
    return { text: Buffer.from(heard).toString().trimEnd(), leftOut }
  }
}

/** Read to the end all the same: a pipe that is full would hold the runner up. */
export function listenToStderr(child: ChildProcess, log: Log): void {
  const hearing = new Hearing()
  child.stderr?.on('data', (bytes: Buffer) => {
    const said = hearing.take(bytes, performance.now())
    if (!said) return
    const { text, leftOut } = said
    const before = leftOut > 0 ? { bytesLeftOut: leftOut } : {}
    log.warn({ pid: child.pid, runner: text, ...before }, 'runner wrote to stderr')
  })
}
