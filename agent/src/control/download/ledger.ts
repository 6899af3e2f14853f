import type { EpochMs } from '@godwit/protocol/units'
import type { Database } from '../state/database.ts'
import { readMeta, writeMeta } from '../state/memory.ts'
import { type LinkClass, linkClasses } from './link-class.ts'

/** What a release may cost and has cost, as it stands on the disk. Bytes are payload, as the sources count it. */
export type Account = {
  /** Missing when each part of the plan was made: the release document, then the bundle. */
  planned: Record<string, number>
  /** From the link; what comes from next door or from a stick costs nothing. */
  receivedBytes: number
  /** Failures that cost somebody something, less those that progress has earned back. */
  setbacks: number
}

/** What a link class has carried in the running day and month (UTC, by the trusted clock). */
export type Usage = { day: string; dayBytes: number; month: string; monthBytes: number }

type Stored = { releases: Record<string, Account>; usage: Partial<Record<LinkClass, Usage>> }

const name = 'download'
/** Superseded releases whose parts may still be there. */
const releasesMax = 16

/**
 * Who has used how many bytes, over restarts. Forced to the disk with each batch of blocks, and written in between: a
 * killed process leaves `strideBytes` uncounted, and a power cut as many where those were forced too.
 */
export class Ledger {
  readonly #database: Database
  readonly #nowMs: () => EpochMs
  #stored: Stored
  #unstoredBytes = 0

  constructor(database: Database, nowMs: () => EpochMs) {
    this.#database = database
    this.#nowMs = nowMs
    this.#stored = read(database)
  }

  account(release: string): Account {
    const known = this.#stored.releases[release]
    if (known) return known
    const made: Account = { planned: {}, receivedBytes: 0, setbacks: 0 }
    const names = Object.keys(this.#stored.releases)
    for (const old of names.slice(0, Math.max(0, names.length + 1 - releasesMax)))
      delete this.#stored.releases[old]
    this.#stored.releases[release] = made
    return made
  }

  usage(linkClass: LinkClass): Usage {
    const day = new Date(this.#nowMs()).toISOString().slice(0, 10)
    const month = day.slice(0, 7)
    const known = this.#stored.usage[linkClass]
    if (known?.day === day) return known
    const monthBytes = known?.month === month ? known.monthBytes : 0
    const turned = { day, dayBytes: 0, month, monthBytes }
    this.#stored.usage[linkClass] = turned
    return turned
  }

  /**
   * Counts what came over the link.
   *
   * @param strideBytes how much may stay unwritten
   * @param isForced what is written waits for the disk
   */
  charge(
    account: Account,
    linkClass: LinkClass,
    bytes: number,
    { strideBytes, isForced }: { strideBytes: number; isForced: boolean },
  ): void {
    account.receivedBytes += bytes
    const usage = this.usage(linkClass)
    usage.dayBytes += bytes
    usage.monthBytes += bytes
    this.#unstoredBytes += bytes
    if (this.#unstoredBytes < strideBytes) return
    try {
      if (isForced) this.store()
      else this.#database.lazily(() => this.store())
    } catch {
      // This is where a block arrives, and whoever writes it says that the disk is full. In memory it is counted.
    }
  }

  store(): void {
    writeMeta(this.#database, name, JSON.stringify(this.#stored))
    this.#unstoredBytes = 0
  }

  forget(isForgotten: (release: string) => boolean): void {
    const names = Object.keys(this.#stored.releases).filter(isForgotten)
    if (names.length === 0) return
    for (const name of names) delete this.#stored.releases[name]
    this.store()
  }
}

/** What cannot be read is as good as nothing: a budget must not keep a device from updating for ever. */
function read(database: Database): Stored {
  try {
    const found = JSON.parse(readMeta(database, name) ?? '{}') as Partial<Stored>
    const releases = Object.fromEntries(Object.entries(found.releases ?? {}).filter(([, a]) => isAccount(a)))
    const usage = Object.fromEntries(
      linkClasses.flatMap((one) => (isUsage(found.usage?.[one]) ? [[one, found.usage[one]]] : [])),
    )
    return { releases, usage }
  } catch {
    return { releases: {}, usage: {} }
  }
}

function isAccount({ planned, receivedBytes, setbacks }: Account): boolean {
  return typeof planned === 'object' && Number.isFinite(receivedBytes) && Number.isFinite(setbacks)
}

function isUsage(usage: Usage | undefined): usage is Usage {
  return usage !== undefined && Number.isFinite(usage.dayBytes) && Number.isFinite(usage.monthBytes)
}
