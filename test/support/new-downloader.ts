import type { Clock } from '@godwit/agent/control/clock'
import type { BlockSource } from '@godwit/agent/control/download/block-source'
import { Budget, type BudgetRules } from '@godwit/agent/control/download/budget'
import { type DownloadDeps, Downloader } from '@godwit/agent/control/download/download'
import { Ledger } from '@godwit/agent/control/download/ledger'
import type { LinkClass } from '@godwit/agent/control/download/link-class'
import { Pacer } from '@godwit/agent/control/download/pacer'
import { pathsIn } from '@godwit/agent/control/paths'
import { openDatabase } from '@godwit/agent/control/state/database'

const rules: BudgetRules = {
  ...{ overheadPercent: 25, overheadBytesMin: 262_144, retriesMax: 64 },
  ...{ metered: {}, unmetered: {} },
}

type Options = Partial<Omit<DownloadDeps, 'sources' | 'budget' | 'pacer'>> & {
  clock: Clock
  sources: readonly BlockSource[]
  rules?: Partial<BudgetRules>
  linkClass?: () => LinkClass
  nowMs?: () => number
}

/** The agent's downloader on a real disk and database, and nothing else of the agent. */
export function newDownloader(
  directory: string,
  { sources, rules: change, linkClass, nowMs, ...deps }: Options,
) {
  const paths = pathsIn(directory)
  const { database } = openDatabase(paths.database, 0)
  const ledger = new Ledger(database, nowMs ?? (() => Date.UTC(2026, 10, 23)))
  const budget = new Budget(ledger, { ...rules, ...change }, linkClass ?? (() => 'unmetered'))
  const downloader = new Downloader({
    ...{ paths, database, budget, pacer: new Pacer(budget, deps.clock) },
    ...{ random: () => 0.5, bytesPerSecondMin: 0, spreadMs: () => 0 },
    ...deps,
    sources: () => sources,
  })
  const release = { model: 'gauge', version: '1', releaseDigest: 'ab'.repeat(32) }
  return { downloader, budget, paths, database, release, close: () => database.close() }
}
