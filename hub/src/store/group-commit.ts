import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Db } from './database.ts'

type Job<I, O> = { input: I; resolve: (output: O) => void; reject: (error: unknown) => void }
type Transact = <T>(work: (trx: Db) => Promise<T>) => Promise<T>

/** Long enough to share an fsync, short enough that no device waits for it (platform reference, hazard 6). */
export const groupMs = 5
/** At about a millisecond each a full group holds up everything else for less than a tenth of a second. */
const groupMax = 64

/**
 * One commit for all that came within a moment: a commit is an fsync, and a thousand devices would ask for a thousand.
 * Everybody is answered after the commit. One that fails is done again alone, so that it takes nobody with it.
 */
export class GroupCommit<I, O> {
  readonly #transact: Transact
  readonly #work: (trx: Db, inputs: readonly I[]) => Promise<O[]>
  readonly #waitMs: number
  #waiting: Job<I, O>[] = []
  #timer: NodeJS.Timeout | undefined
  #busy: Promise<void> = Promise.resolve()

  /** @param waitMs how long the first one waits for company; integer milliseconds */
  constructor(transact: Transact, work: (trx: Db, inputs: readonly I[]) => Promise<O[]>, waitMs: number) {
    this.#transact = transact
    this.#work = work
    this.#waitMs = waitMs
  }

  add(input: I): Promise<O> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ input, resolve, reject })
      this.#timer ??= setTimeout(() => void this.flush(), this.#waitMs)
    })
  }

  /** Commits what waits now; comes back when all that was added so far is answered. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    // The jobs are taken when their turn comes, so that a slow commit makes the next group larger, not the queue longer.
    this.#busy = this.#busy.then(() => this.#commit())
    return this.#busy
  }

  async #commit(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#commitGroup(this.#waiting.splice(0, groupMax))
      // SQLite answers at once, so a transaction never lets the event loop breathe: keep-alives wait until here.
      await nextTurn()
    }
  }

  async #commitGroup(jobs: readonly Job<I, O>[]): Promise<void> {
    try {
      const outputs = await this.#transact((trx) =>
        this.#work(
          trx,
          jobs.map(({ input }) => input),
        ),
      )
      jobs.forEach((job, i) => {
        job.resolve(outputs[i]!)
      })
    } catch (error) {
      if (jobs.length === 1) jobs[0]!.reject(error)
      else for (const job of jobs) await this.#commitAlone(job)
    }
  }

  async #commitAlone({ input, resolve, reject }: Job<I, O>): Promise<void> {
    try {
      const [output] = await this.#transact((trx) => this.#work(trx, [input]))
      resolve(output!)
    } catch (error) {
      reject(error)
    }
  }
}

/** Transactions of any kind that commit together where they come together; each is answered as if it were alone. */
export class SharedTransactions {
  readonly #commits: GroupCommit<(trx: Db) => Promise<unknown>, unknown>

  /** @param waitMs how long the first one waits for company; integer milliseconds */
  constructor(transact: Transact, waitMs: number) {
    const inTurn = async (trx: Db, all: readonly ((trx: Db) => Promise<unknown>)[]) => {
      const outputs: unknown[] = []
      for (const work of all) outputs.push(await work(trx))
      return outputs
    }
    this.#commits = new GroupCommit(transact, inTurn, waitMs)
  }

  /** @param work may be done twice, the first time rolled back: it changes nothing but through `trx` */
  run<T>(work: (trx: Db) => Promise<T>): Promise<T> {
    return this.#commits.add(work) as Promise<T>
  }

  flush(): Promise<void> {
    return this.#commits.flush()
  }
}
