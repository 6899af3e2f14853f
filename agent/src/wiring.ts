import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { freemem } from 'node:os'
import { Fault } from '@godwit/protocol/fault'
import type { Birth } from '@godwit/protocol/messages/presence'
import type { Report } from '@godwit/protocol/messages/report'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { AgentConfig } from './config.ts'
import { hardwareOf, opsetMaxOf, type Runtime, unknownRuntime } from './control/birth.ts'
import { Cage } from './control/cage.ts'
import { type Clock, TrustedTime } from './control/clock.ts'
import { isAtRest } from './control/deployment/deployment.ts'
import { collectGarbage } from './control/deployment/garbage.ts'
import { Journal } from './control/deployment/journal.ts'
import { mayInstall } from './control/deployment/may-install.ts'
import { Downloader } from './control/download/download.ts'
import { httpSource } from './control/download/http-source.ts'
import { mqttSource } from './control/download/mqtt-source.ts'
import { sourcesFor } from './control/download/sources.ts'
import { teller } from './control/events.ts'
import { diskFreeBytes } from './control/files.ts'
import { healthRecord } from './control/health.ts'
import { httpHeaders, hubTime, metadataOverHttp } from './control/hub-http.ts'
import { type DeviceKey, deviceKey, enrol, type Identity, readEnrolment } from './control/identity.ts'
import { backoffMs } from './control/link/backoff.ts'
import { fetchOver, tlsMaterial } from './control/link/tls.ts'
import { because, type Log } from './control/log.ts'
import { pathsIn } from './control/paths.ts'
import { codeFor, sealReport, slotReport } from './control/report.ts'
import { RunnerLedger } from './control/runner-ledger.ts'
import { Slot } from './control/slot.ts'
import { Sender } from './control/spool/sender.ts'
import { Spool, spoolTimeMs } from './control/spool/spool.ts'
import { Counters } from './control/state/counters.ts'
import { openDatabase } from './control/state/database.ts'
import { takeLock } from './control/state/lock.ts'
import { readMeta, writeMeta } from './control/state/memory.ts'
import { Trust } from './control/trust/trust.ts'
import { Uplink } from './control/uplink.ts'
import type { Sysfs } from './energy/sysfs.ts'

/** The world, as far as the agent needs it. */
export type AgentDeps = {
  log: Log
  clock: Clock
  random: () => number
  sysfs: Sysfs
  fetch: typeof fetch
  agentVersion: string
  /** Time this agent was built: no clock that is earlier can be right. Epoch milliseconds. */
  builtAtMs: number
  runnerScript: string
}

export type Agent = {
  /** Stops in order: runners hand in their last windows, the spool is flushed, the hub hears where we go. */
  stop(status?: 'offline' | 'sleeping'): Promise<void>
  readonly deviceId: string
}

const secondMs = 1_000
const healthMs = 60_000
const refreshDelayMs = 200
const refreshRetryMs = 60_000
const directiveRetryMs = 5_000
const flushMsMax = 3_000

/** Joins the fleet if it has not yet, then runs. Resolves when the agent is at work, with or without a link. */
export async function startAgent(
  config: AgentConfig,
  world: AgentDeps,
  signal?: AbortSignal,
): Promise<Agent> {
  const deps = { ...world, fetch: fetchOver(config.tls, world.fetch) }
  const paths = pathsIn(config.stateDir)
  mkdirSync(paths.root, { recursive: true, mode: 0o700 })
  const unlock = takeLock(paths)
  try {
    const device = deviceKey(paths)
    const enrolment = readEnrolment(paths) ?? (await join(config, deps, device, signal))
    return build(config, deps, { ...device, enrolment }, unlock)
  } catch (error) {
    unlock()
    throw error
  }
}

/** A hub that is not there yet is waited for; one that says no ends the agent, for a person must act. */
async function join(config: AgentConfig, deps: AgentDeps, device: DeviceKey, signal?: AbortSignal) {
  const { token, deviceId } = config.join
  if (token === undefined)
    throw new Fault(
      'not-enrolled',
      `${config.stateDir} belongs to no fleet yet; give a join token (join.token, join.tokenFile or --join)`,
    )
  for (let failures = 1; ; failures++) {
    try {
      return await enrol(pathsIn(config.stateDir), device, token, {
        fetch: deps.fetch,
        deviceId,
        ...(signal && { signal }),
      })
    } catch (error) {
      if (signal?.aborted || !(error instanceof Fault) || error.code !== 'hub-unreachable') throw error
      const waitMs = backoffMs(failures, config.link, deps.random())
      deps.log.warn({ because: because(error), waitMs }, 'cannot enrol yet')
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs)
        signal?.addEventListener(
          'abort',
          () => {
            clearTimeout(timer)
            resolve()
          },
          { once: true },
        )
      })
    }
  }
}

function build(config: AgentConfig, deps: AgentDeps, identity: Identity, unlock: () => void): Agent {
  const { log, clock, sysfs, random } = deps
  const { enrolment } = identity
  const { fleet, deviceId } = enrolment
  const paths = pathsIn(config.stateDir)
  const startedMs = clock.monotonicMs()

  const opened = openDatabase(paths.database, clock.wallMs())
  const { database } = opened
  const floor = Math.max(
    deps.builtAtMs,
    fromRfc3339(enrolment.time),
    Number(readMeta(database, 'floor') ?? 0),
  )
  const time = new TrustedTime(
    clock,
    floor,
    (value) => writeMeta(database, 'floor', String(value)),
    spoolTimeMs(database),
  )
  const counters = new Counters(database, () => time.nowMs())
  const journal = new Journal(database, paths)
  const spool = new Spool(database, config.spool)
  const tell = teller(spool, time, log)
  if (opened.condition === 'rebuilt' || opened.condition === 'memory') {
    tell({
      kind: opened.condition === 'rebuilt' ? 'state_rebuilt' : 'state_not_durable',
      key: `state/${spool.session}`,
      severity: 'alarm',
      detail: { because: because(opened.because), ...(opened.movedTo && { movedTo: opened.movedTo }) },
    })
  }
  const ledger = new RunnerLedger(paths, deps.runnerScript, log)
  for (const pid of ledger.killLeftovers()) {
    tell({
      kind: 'runner_left_over',
      key: `runner_left_over/${pid}/${time.nowMs()}`,
      severity: 'warning',
      detail: { pid, because: 'it outlived the control process that had started it; killed' },
    })
  }

  const http = config.download.via !== 'mqtt'
  const trust = new Trust({
    paths,
    names: { fleet, deviceId },
    time,
    pinnedRoot: new Uint8Array(Buffer.from(enrolment.root, 'base64')),
    ...(http && { fetchMetadata: metadataOverHttp(enrolment.httpUrl, deps.fetch) }),
  })
  const sender = new Sender(spool, identity, { fleet, deviceId })
  let runtime: Runtime = JSON.parse(readMeta(database, 'runtime') ?? 'null') ?? unknownRuntime
  const learnRuntime = (found: Runtime) => {
    if (JSON.stringify(found) === JSON.stringify(runtime)) return
    runtime = found
    attempt(log, 'cannot store the runtime', () => writeMeta(database, 'runtime', JSON.stringify(found)))
  }

  const uplink = new Uplink({
    identity,
    time,
    clock,
    random,
    log,
    backoff: config.link,
    tls: () => tlsMaterial(config.tls),
    mqttUrl: config.link.mqttUrl ?? enrolment.mqttUrl,
    sender,
    bootId: randomUUID(),
    nextConnection: () => counters.advance('connection'),
    makeBirth: (connection) => makeBirth(connection),
    makeReport: () => sealReport(makeReport(), identity),
    onMetadata: (topic, payload) => {
      if (trust.heard(topic, payload)) refreshSoon(refreshDelayMs)
    },
    onDirective: (payload) => void takeDirective(payload),
    onUp: () => {
      for (const slot of slots) slot.deployer.kick()
    },
    onUnauthorised: async () => {
      const at = await hubTime(enrolment.httpUrl, deps.fetch)
      if (at !== undefined) time.heardHubTime(at)
      log.warn({ skewMs: time.skewMs }, 'the hub does not accept our token')
    },
    onQuarantined: (key) =>
      tell({
        kind: 'publish_refused',
        key: `publish_refused/${key}/${time.nowMs()}`,
        severity: 'warning',
        detail: { message: key },
      }),
  })

  const blobsOverHttp = httpSource({
    url: enrolment.httpUrl,
    headers: () => httpHeaders(identity, time),
    fetch: deps.fetch,
  })
  const downloader = new Downloader({
    paths,
    database,
    clock,
    sources: sourcesFor(config.download.via, blobsOverHttp, mqttSource(uplink.blocks), clock),
    bytesPerSecondMax: config.download.bytesPerSecondMax,
  })

  const slots = Object.entries(config.slots).map(
    ([name, slotConfig]) =>
      new Slot(name, slotConfig, {
        paths,
        database,
        journal,
        spool,
        trust,
        downloader,
        time,
        clock,
        random,
        log,
        sysfs,
        runnerScript: deps.runnerScript,
        ledger,
        limits: config.runner,
        opsetMax: () => opsetMaxOf(runtime) || undefined,
        isLinkUp: () => uplink.isUp,
        hindrance: mayInstall(config.install, sysfs, time),
        onRuntime: learnRuntime,
        onChange: () => uplink.reportSoon(),
        onStored: () => uplink.pump(),
        onBytes: (slot, bytesDone, bytesTotal) => {
          const { phase, goal } = journal.read(slot).deployment
          if (goal) uplink.progress({ slot, phase, releaseDigest: goal.releaseDigest, bytesDone, bytesTotal })
        },
        onEnd: (slot, { code, detail, goal }) => {
          if (code && code !== 'ok')
            tell({
              kind: 'deployment_failed',
              key: `deployment_failed/${slot}/${goal?.releaseDigest}/${time.nowMs()}`,
              severity: 'alarm',
              slot,
              ...(goal && { releaseDigest: goal.releaseDigest }),
              detail: { code, because: detail ?? '' },
            })
          tidy()
        },
        tell,
      }),
  )

  /** Only when no slot has anything on its way, so that nothing half fetched is taken for rubbish. */
  function tidy(): void {
    const states = slots.map(({ name }) => journal.read(name))
    if (!states.every(({ deployment }) => isAtRest(deployment.phase))) return
    const kept = states.flatMap(({ active, lastKnownGood }) => [
      active?.releaseDigest,
      lastKnownGood?.releaseDigest,
    ])
    attempt(log, 'cannot tidy up', () =>
      collectGarbage(paths, database, new Set(kept.filter((digest) => digest !== undefined))),
    )
  }

  let directiveTimer: NodeJS.Timeout | undefined
  async function takeDirective(payload: Uint8Array): Promise<void> {
    clearTimeout(directiveTimer)
    try {
      const taken = await trust.takeDirective(payload)
      if (!taken.trusted) {
        return tell({
          kind: 'directive_refused',
          key: `directive_refused/${sha256Hex(payload)}`,
          severity: 'alarm',
          detail: { code: codeFor(taken.because), because: taken.detail },
        })
      }
      if (taken.value.unchanged) return
      for (const slot of slots) slot.directed()
      uplink.reportSoon()
    } catch (error) {
      // The hub says it once per connection; a disk that is full now may take it later.
      log.error({ because: because(error) }, 'cannot take a directive now')
      if (stopped) return
      clearTimeout(directiveTimer)
      directiveTimer = setTimeout(() => void takeDirective(payload), directiveRetryMs)
    }
  }

  let refreshTimer: NodeJS.Timeout | undefined
  let stopped = false
  function refreshSoon(delayMs: number): void {
    if (stopped) return
    clearTimeout(refreshTimer)
    refreshTimer = setTimeout(() => void refresh(), delayMs)
  }

  async function refresh(): Promise<void> {
    try {
      const verdict = await trust.refresh()
      if (verdict.trusted) {
        for (const slot of slots) slot.deployer.kick()
        return
      }
      log.warn({ because: verdict.detail, code: verdict.because }, 'metadata not trusted')
      // Missing pieces come with the next retained messages; everything else is worth a person's attention.
      if (verdict.because !== 'absent')
        tell({
          kind: 'metadata_refused',
          key: `metadata_refused/${sha256Hex(Buffer.from(verdict.detail))}`,
          severity: 'alarm',
          detail: { code: codeFor(verdict.because), because: verdict.detail },
        })
    } catch (error) {
      log.warn({ because: because(error) }, 'cannot refresh the metadata')
      refreshSoon(refreshRetryMs)
    }
  }

  function makeBirth(connection: number): Birth {
    const held = Object.fromEntries(
      slots.flatMap(({ name }) => {
        const { active } = journal.read(name)
        const { model, version, releaseDigest } = active ?? {}
        return model && version && releaseDigest ? [[name, { model, version, releaseDigest }]] : []
      }),
    )
    return {
      bootId: spool.session,
      connection,
      at: time.nowMs(),
      agentVersion: deps.agentVersion,
      hardware: hardwareOf(sysfs, paths.root),
      runtime: { ...runtime, opsetMax: opsetMaxOf(runtime) },
      slots: held,
      metadata: trust.versions,
      directiveVersion: trust.directive?.version ?? 0,
    }
  }

  function makeReport(): Report {
    const { directive } = trust
    const known = slots.map(({ name }) => [name, slotReport(journal.read(name))] as const)
    // A goal for a slot that this device does not have must not stay unanswered.
    const unknown = Object.entries(directive?.slots ?? {})
      .filter(([name]) => !Object.hasOwn(config.slots, name))
      .map(
        ([name, { model, version, releaseDigest }]) =>
          [
            name,
            {
              phase: 'refused' as const,
              target: { model, version, releaseDigest },
              attempt: 0,
              code: 'malformed' as const,
              detail: `this device has no slot ${name}; it has ${Object.keys(config.slots).join(', ')}`,
              answered: directive!.version,
            },
          ] as const,
      )
    return {
      _type: 'report',
      specVersion: 1,
      fleet,
      deviceId,
      session: spool.session,
      reportVersion: counters.advance('report'),
      directiveVersion: directive?.version ?? 0,
      at: time.nowMs(),
      slots: Object.fromEntries([...known, ...unknown]),
      quarantine: journal.quarantined(),
      free: { diskBytes: diskFreeBytes(paths.root), memoryBytes: freemem() },
      clock: { floor: time.floorMs, ...(time.skewMs !== undefined && { skewMs: time.skewMs }) },
    }
  }

  function health(): void {
    const at = time.nowMs()
    attempt(log, 'cannot store a health record', () => {
      const body = healthRecord({
        at,
        uptimeMs: clock.monotonicMs() - startedMs,
        runnerRssBytes: slots.reduce((sum, { serving }) => sum + serving.rssBytes, 0),
        runnerRestarts: slots.reduce((sum, { serving }) => sum + serving.restarts, 0),
        spool: spool.figures,
        stateDir: paths.root,
        sysfs,
      })
      spool.append([{ stream: 'health', body, at: time.leastMs() }], time.leastMs())
    })
  }

  for (const slot of slots) slot.start()
  const everySecond = setInterval(() => {
    attempt(log, 'cannot sample the energy', () => {
      for (const slot of slots) slot.sample()
    })
    attempt(log, 'cannot read the spool', () => uplink.pump())
  }, secondMs)
  const everyMinute = setInterval(health, healthMs)
  health()
  // A device that has served nothing yet does not know its own runtime; asking costs one process start, once.
  const linked =
    runtime.name === unknownRuntime.name
      ? probeRuntime(config, deps, ledger).then((found) => found && learnRuntime(found))
      : Promise.resolve()
  void linked.then(() => {
    if (!stopped) uplink.start()
  })

  return {
    deviceId,
    async stop(status = 'offline') {
      stopped = true
      clearTimeout(refreshTimer)
      clearTimeout(directiveTimer)
      clearInterval(everyMinute)
      await Promise.all(slots.map((slot) => slot.stop()))
      await flush(spool, uplink)
      clearInterval(everySecond)
      await uplink.stop(status)
      database.close()
      unlock()
    },
  }
}

async function probeRuntime(
  config: AgentConfig,
  deps: AgentDeps,
  ledger: RunnerLedger,
): Promise<Runtime | undefined> {
  try {
    const cage = await Cage.start(deps.runnerScript, config.runner, deps.log, ledger)
    const found = cage.runtime
    await cage.stop()
    return found
  } catch (error) {
    deps.log.error({ because: because(error) }, 'no runner starts on this device')
    return undefined
  }
}

/** Whatever the hub takes within a moment; the rest is safe on the disk. */
async function flush(spool: Spool, uplink: Uplink): Promise<void> {
  const untilMs = performance.now() + flushMsMax
  while (uplink.isHubThere && spool.figures.records > 0 && performance.now() < untilMs) {
    uplink.pump()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Work that must not bring the agent down, such as writing to a disk that may be full. */
function attempt(log: Log, what: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    log.error({ because: because(error) }, what)
  }
}
