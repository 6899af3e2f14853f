import type { BundleFile } from '@godwit/protocol/release/release'
import type { ReleaseName } from '../download/block-source.ts'
import type { Budget } from '../download/budget.ts'
import { type Downloader, neighbourPrefix } from '../download/download.ts'
import { blocksHeld, settleBlob } from '../download/part-file.ts'
import type { Wanted } from '../download/plan.ts'
import { because, type Log } from '../log.ts'
import type { GatewayCache } from './cache.ts'

/** At once; whoever comes later is told to come back. */
const pullsMax = 4

/** One blob on its way, of which the beginning may be served already. */
export type Pull = {
  readonly file: BundleFile
  /** Resolves to false when that block is not going to come. */
  arrived(index: number): Promise<boolean>
}

type Running = Pull & { have: Set<number>; wake: () => void; isOver: boolean }

/** Fetches what neighbours ask for: once for all of them, on in the background when they go away. */
export class Pulls {
  readonly #cache: GatewayCache
  readonly #downloader: Downloader
  readonly #budget: Budget
  readonly #log: Log
  readonly #running = new Map<string, Running>()
  readonly #stopping = new AbortController()

  constructor(
    cache: GatewayCache,
    makeDownloader: (onBlock: (file: BundleFile, block: Wanted) => void) => Downloader,
    budget: Budget,
    log: Log,
  ) {
    this.#cache = cache
    this.#budget = budget
    this.#log = log
    this.#downloader = makeDownloader((file, { index }) => {
      const running = this.#running.get(file.sha256)
      running?.have.add(index)
      running?.wake()
    })
  }

  underWay(sha256: string): Pull | undefined {
    return this.#running.get(sha256)
  }

  /** Undefined when there is no room for it, on the disk or in our hands. */
  of(release: ReleaseName, file: BundleFile): Pull | undefined {
    const known = this.#running.get(file.sha256)
    if (known) return known
    if (this.#running.size >= pullsMax || this.#stopping.signal.aborted) return undefined
    if (!this.#cache.reserve(file.sha256, file.sizeBytes)) return undefined
    const started = running(file, blocksHeld(this.#cache.database, file.sha256))
    this.#running.set(file.sha256, started)
    void this.#run(release, started)
    return started
  }

  stop(): void {
    this.#stopping.abort(new Error('stopping'))
  }

  async #run(release: ReleaseName, pull: Running): Promise<void> {
    const { file } = pull
    const letGo = this.#cache.hold(file.sha256)
    const { paths, database } = this.#cache
    const account = `${neighbourPrefix}${file.sha256}`
    try {
      const over = await this.#downloader.plan({ ...release, releaseDigest: account }, 'bundle', [file])
      const end = over ?? (await this.#downloader.fetch(release, file, this.#stopping.signal, () => {}))
      if (end.end === 'complete' && (await settleBlob(paths, file, database))) {
        this.#budget.forget((name) => name === account)
        return
      }
      if (end.end !== 'complete')
        this.#log.warn({ blob: file.sha256, because: end.detail }, 'cannot fetch for a neighbour')
      // What is here of it stays: the next to ask goes on from there. After a failure for good, nothing would.
      if (end.end === 'failed') this.#cache.forget(file.sha256)
    } catch (error) {
      if (!this.#stopping.signal.aborted)
        this.#log.warn({ blob: file.sha256, because: because(error) }, 'cannot fetch for a neighbour')
    } finally {
      letGo()
      this.#running.delete(file.sha256)
      pull.isOver = true
      pull.wake()
    }
  }
}

function running(file: BundleFile, have: Set<number>): Running {
  const waiting = new Set<() => void>()
  const pull: Running = {
    file,
    have,
    isOver: false,
    wake() {
      for (const look of waiting) look()
    },
    arrived: (index) =>
      new Promise((resolve) => {
        const look = () => {
          if (!pull.have.has(index) && !pull.isOver) return
          waiting.delete(look)
          resolve(pull.have.has(index))
        }
        waiting.add(look)
        look()
      }),
  }
  return pull
}
