import type { BundleFile } from '@godwit/protocol/release/release'
import type { AgentConfig } from '../../config.ts'
import type { Clock } from '../clock.ts'
import type { Budget } from '../download/budget.ts'
import type { Downloader } from '../download/download.ts'
import { gatewayDirectory } from '../download/download-part.ts'
import type { Wanted } from '../download/plan.ts'
import type { Log } from '../log.ts'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'
import type { Trust } from '../trust/trust.ts'
import { GatewayCache } from './cache.ts'
import { Gateway } from './gateway.ts'
import { ListedBlobs } from './listed.ts'
import { ownGatewaySource } from './own-source.ts'
import { Pulls } from './pulls.ts'

export type GatewayAround = {
  paths: Paths
  trust: Trust
  clock: Clock
  log: Log
  budget: Budget
  forNeighbours: (
    paths: Paths,
    database: Database,
    onBlock: (file: BundleFile, block: Wanted) => void,
  ) => Downloader
}

/** The gateway, and what it is to this device's own downloads: a source that fetches once for both. */
export function gatewayPart(config: NonNullable<AgentConfig['gateway']>, around: GatewayAround) {
  const { paths, trust, clock, log, budget, forNeighbours } = around
  const cache = new GatewayCache(gatewayDirectory(paths), config.bytesMax, () => clock.wallMs())
  const pulls = config.pullThrough
    ? new Pulls(cache, (onBlock) => forNeighbours(cache.paths, cache.database, onBlock), budget, log)
    : undefined
  const listed = new ListedBlobs(
    trust,
    // A document that has just come may not have its name yet; its digest is looked at in any case.
    (sha256) => [paths.blob(sha256), cache.paths.blob(sha256), cache.paths.part(sha256)],
    () => clock.monotonicMs(),
  )
  const gateway = new Gateway({ cache, ownBlob: paths.blob, listed, pulls, log })
  return { gateway, source: pulls && ownGatewaySource(cache, pulls) }
}
