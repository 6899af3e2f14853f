import { readIfThere, writeDurably } from './files.ts'
import { because, type Log } from './log.ts'
import type { Paths } from './paths.ts'
import { commandOf, identityIn, identityOf, isAlive, type ProcessIdentity } from './state/process-identity.ts'

/**
 * The runners that are alive, on the disk. A runner ends itself when control is gone, but not while a model holds its
 * only thread: then the next control, which alone knows of it from here, must end it.
 */
export class RunnerLedger {
  readonly #paths: Paths
  readonly #script: string
  readonly #log: Log
  readonly #alive = new Map<number, ProcessIdentity>()

  constructor(paths: Paths, script: string, log: Log) {
    this.#paths = paths
    this.#script = script
    this.#log = log
  }

  /**
   * Kills what an earlier control left behind; to be called under the state directory's lock, before anything starts.
   * Only what is certainly ours: same boot, same start time, and our script in its command line.
   */
  killLeftovers(): number[] {
    const left = this.#recorded().filter((one) => isAlive(one) && commandOf(one.pid).includes(this.#script))
    for (const { pid } of left) kill(pid)
    this.#write()
    return left.map(({ pid }) => pid)
  }

  /** Before a model gets into it: from then on it may be deaf. */
  started(pid: number): void {
    this.#alive.set(pid, identityOf(pid))
    this.#write()
  }

  ended(pid: number): void {
    if (this.#alive.delete(pid)) this.#write()
  }

  #recorded(): ProcessIdentity[] {
    try {
      const { runners } = JSON.parse(readIfThere(this.#paths.runners)?.toString() ?? '{}') as {
        runners?: unknown
      }
      return Array.isArray(runners) ? runners.flatMap((one) => identityIn(one) ?? []) : []
    } catch {
      return []
    }
  }

  /** A disk that takes nothing costs us a leftover at worst; the model is served all the same. */
  #write(): void {
    const runners = [...this.#alive.values()]
    const text = `${JSON.stringify({ format: 'godwit-runners/1', runners })}\n`
    try {
      if (readIfThere(this.#paths.runners)?.toString() !== text) writeDurably(this.#paths.runners, text)
    } catch (error) {
      this.#log.warn({ because: because(error) }, 'cannot note which runners are alive')
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone between the look and the kill.
  }
}
