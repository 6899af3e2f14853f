import { join } from 'node:path'
import type { BundleFile } from '@godwit/protocol/release/release'
import type { AgentConfig } from '../../config.ts'
import type { Sysfs } from '../../energy/sysfs.ts'
import type { Clock, TrustedTime } from '../clock.ts'
import type { Telling } from '../events.ts'
import type { Paths } from '../paths.ts'
import type { Database } from '../state/database.ts'
import type { BlockSource } from './block-source.ts'
import { Budget } from './budget.ts'
import { Downloader, neighbourPrefix } from './download.ts'
import { httpSource } from './http-source.ts'
import { Ledger } from './ledger.ts'
import { type LinkClass, linkClassNow } from './link-class.ts'
import { localSource } from './local-source.ts'
import { type BlockLink, mqttSource } from './mqtt-source.ts'
import { Pacer } from './pacer.ts'
import type { Wanted } from './plan.ts'
import { sourcesFor } from './sources.ts'

type World = { clock: Clock; random: () => number; sysfs: Sysfs; fetch: typeof fetch }
type Around = {
  paths: Paths
  database: Database
  time: TrustedTime
  blocks: BlockLink
  url: string
  headers: () => Record<string, string>
  onUnauthorised: () => void
  hubSpreadMs: () => number
  tell: (telling: Telling) => void
}

/** Where blobs lie that came from a stick, and what a gateway keeps for its neighbours. */
export const mediumBlob = (paths: Paths, sha256: string) =>
  join(paths.root, 'medium', 'blobs', 'sha256', sha256)
export const gatewayDirectory = (paths: Paths) => join(paths.root, 'gateway')

/** Everything about downloads that is made once: one budget, one rate, one order of sources. */
export function downloadPart(config: AgentConfig, world: World, around: Around) {
  const { clock, random, sysfs } = world
  const { paths, database, time } = around
  const { download, link } = config
  const ledger = new Ledger(database, () => time.nowMs())
  const { class: standard, classFile, meteredInterfaces } = link
  const rules = { class: standard as LinkClass, classFile, meteredInterfaces }
  const { metered, unmetered } = download
  const budget = new Budget(
    ledger,
    { ...download.budget, metered, unmetered },
    // Asked at each chunk; the file and the route are looked at once a second at most.
    atMostOnce(1_000, clock, () => linkClassNow(rules, sysfs)),
  )
  const pacer = new Pacer(budget, clock, download.bytesPerSecondMax)
  const overHttp = (name: string, url: string, more: Partial<Parameters<typeof httpSource>[0]>) =>
    httpSource({ name, url, fetch: world.fetch, ...more })
  const stranger = { isStranger: true }
  const mqtt = mqttSource(around.blocks)
  const http = overHttp('http', around.url, {
    headers: around.headers,
    onUnauthorised: around.onUnauthorised,
  })
  const mirrors = download.mirrors.map((url) => overHttp(`mirror ${url}`, url, stranger))
  const gateways = (namesRelease: boolean) =>
    download.gateways.map((url) =>
      overHttp(`gateway ${url}`, url, { ...stranger, cost: 'near', namesRelease }),
    )
  const medium = localSource('medium', (sha256) => mediumBlob(paths, sha256))
  let ownGateway: BlockSource | undefined
  const shared = {
    clock,
    random,
    budget,
    pacer,
    bytesPerSecondMin: download.bytesPerSecondMin,
    spreadMs: () => download.spreadMs + around.hubSpreadMs(),
    onAside: (source: BlockSource, detail: string) =>
      around.tell({
        kind: 'source_left_aside',
        key: `source_left_aside/${source.name}/${time.nowMs()}`,
        severity: 'warning',
        detail: { source: source.name, because: detail },
      }),
  }
  const downloader = new Downloader({
    ...shared,
    paths,
    database,
    sources: sourcesFor(
      download.via,
      {
        local: () => (ownGateway ? [medium, ownGateway] : [medium]),
        gateways: gateways(true),
        mirrors,
        http,
        mqtt,
      },
      clock,
    ),
  })
  /** For neighbours: in a place of its own. Other gateways are asked for what they hold and no more, or two would ask each other for ever. */
  const forNeighbours = (
    theirPaths: Paths,
    theirDatabase: Database,
    onBlock: (file: BundleFile, block: Wanted) => void,
  ) =>
    new Downloader({
      ...shared,
      paths: theirPaths,
      database: theirDatabase,
      accountOf: (_release, { sha256 }) => `${neighbourPrefix}${sha256}`,
      onBlock,
      sources: sourcesFor(
        download.via,
        { local: () => [medium], gateways: gateways(false), mirrors, http, mqtt },
        clock,
      ),
    })
  /** The gateway is made of these, and then stands first among the sources. */
  const goThrough = (source: BlockSource | undefined) => {
    ownGateway = source
  }
  return { downloader, forNeighbours, budget, goThrough }
}

function atMostOnce<T>(everyMs: number, clock: Clock, look: () => T): () => T {
  let seen: { value: T; untilMs: number } | undefined
  return () => {
    const nowMs = clock.monotonicMs()
    if (!seen || nowMs >= seen.untilMs) seen = { value: look(), untilMs: nowMs + everyMs }
    return seen.value
  }
}
