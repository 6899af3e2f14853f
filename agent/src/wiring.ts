import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { freemem } from 'node:os'
import type { Report } from '@godwit/protocol/messages/report'
import type { AgentConfig } from './config.ts'
import { birthOf } from './control/birth.ts'
import { CertificateKeeper } from './control/client-certificate.ts'
import type { Clock } from './control/clock.ts'
import { mayInstall } from './control/deployment/may-install.ts'
import { downloadPart } from './control/download/download-part.ts'
import { engineOf } from './control/engine-part.ts'
import { diskFreeBytes } from './control/files.ts'
import { gatewayPart } from './control/gateway/gateway-part.ts'
import { healthRecord } from './control/health.ts'
import { httpHeaders, hubTime, metadataOverHttp } from './control/hub-http.ts'
import { deviceKey, type Identity, readEnrolment } from './control/identity.ts'
import { join } from './control/join.ts'
import { KeyRotator } from './control/key-rotator.ts'
import { KnownRuntime } from './control/known-runtime.ts'
import { fetchOver, HubTls } from './control/link/tls.ts'
import { attempt, because, type Log } from './control/log.ts'
import { Medium } from './control/medium/medium.ts'
import { pathsIn } from './control/paths.ts'
import { sealReport, slotReports } from './control/report.ts'
import { RunnerLedger } from './control/runner-ledger.ts'
import { Slot } from './control/slot.ts'
import { Sender } from './control/spool/sender.ts'
import type { Spool } from './control/spool/spool.ts'
import { takeLock } from './control/state/lock.ts'
import { readMeta, writeMeta } from './control/state/memory.ts'
import { statePart } from './control/state-part.ts'
import { tidyUp } from './control/tidy.ts'
import { Trust } from './control/trust/trust.ts'
import { TrustKeeper } from './control/trust/trust-keeper.ts'
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
const minuteMs = 60_000
const flushMsMax = 3_000
const engineWaitMs = 10_000

/** Joins the fleet if it has not yet, then runs. Resolves when the agent is at work, with or without a link. */
export async function startAgent(
  config: AgentConfig,
  world: AgentDeps,
  signal?: AbortSignal,
): Promise<Agent> {
  const paths = pathsIn(config.stateDir)
  const held = readEnrolment(paths)
  const tls = new HubTls(config.tls, paths.clientCertificate, held?.ca)
  const deps = { ...world, fetch: fetchOver(tls.material, world.fetch), tls }
  mkdirSync(paths.root, { recursive: true, mode: 0o700 })
  const unlock = takeLock(paths)
  try {
    const device = deviceKey(paths)
    const enrolment = held ?? (await join(config, deps, device, signal))
    return build(config, deps, { ...device, enrolment }, unlock)
  } catch (error) {
    unlock()
    throw error
  }
}

type Linked = AgentDeps & { tls: HubTls }

function build(config: AgentConfig, deps: Linked, identity: Identity, unlock: () => void): Agent {
  const { log, clock, sysfs, random } = deps
  const { enrolment } = identity
  const { fleet, deviceId } = enrolment
  const paths = pathsIn(config.stateDir)
  const startedMs = clock.monotonicMs()

  const state = statePart(config, deps, paths, enrolment)
  const { database, time, counters, journal, spool, record, tell, happened } = state
  const ledger = new RunnerLedger(paths, deps.runnerScript, log)
  for (const pid of ledger.killLeftovers()) {
    tell({
      kind: 'runner_left_over',
      key: `runner_left_over/${pid}/${time.nowMs()}`,
      severity: 'warning',
      detail: { pid, because: 'it outlived the control process that had started it; killed' },
    })
  }

  const pinnedRoot = new Uint8Array(Buffer.from(enrolment.root, 'base64'))
  const trust = new Trust({
    paths,
    names: { fleet, deviceId },
    time,
    pinnedRoot,
    askMetadata: (role, version) => uplink.metadata(role, version),
    ...(config.download.via !== 'mqtt' && {
      fetchMetadata: metadataOverHttp(enrolment.httpUrl, deps.fetch),
    }),
  })
  const keeper = new TrustKeeper({
    trust,
    log,
    tell,
    onDirective: () => {
      for (const slot of slots) slot.directed()
      uplink.reportSoon()
    },
    onTrusted: () => kickSlots(),
  })
  const runtime = new KnownRuntime(database, log)
  const engine = engineOf({
    ...config,
    ...deps,
    ledger,
    recall: () => (runtime.isKnown ? readMeta(database, 'preflight') : undefined),
    remember: (text) =>
      attempt(log, 'cannot store a preflight', () => writeMeta(database, 'preflight', text)),
    onRuntime: (found) => runtime.learn(found),
    tell: happened,
  })

  const learnHubTime = async () => {
    const at = await hubTime(enrolment.httpUrl, deps.fetch)
    if (at !== undefined) time.heardHubTime(at)
    log.warn({ skewMs: time.skewMs }, 'the hub does not accept our token')
  }
  const uplink = new Uplink({
    identity,
    time,
    clock,
    random,
    log,
    backoff: config.link,
    tls: deps.tls.material,
    mqttUrl: config.link.mqttUrl ?? enrolment.mqttUrl,
    sender: new Sender(spool, identity, { fleet, deviceId }),
    bootId: randomUUID(),
    nextConnection: () => counters.advance('connection'),
    makeBirth: (connection) =>
      birthOf(
        {
          bootId: spool.session,
          connection,
          at: time.nowMs(),
          agentVersion: deps.agentVersion,
          metadata: trust.versions,
          directiveVersion: trust.directive?.version ?? 0,
        },
        { sysfs, stateDir: paths.root, runtime: runtime.current, slots: slotStates() },
      ),
    makeReport: () => sealReport(makeReport(), identity),
    onMetadata: (topic, payload) => keeper.heard(topic, payload),
    onDirective: (payload) => void keeper.takeDirective(payload),
    onUp: () => {
      downloader.kick()
      kickSlots()
    },
    onUnauthorised: learnHubTime,
    onQuarantined: (key) =>
      tell({
        kind: 'publish_refused',
        key: `publish_refused/${key}/${time.nowMs()}`,
        severity: 'warning',
        detail: { message: key },
      }),
  })

  const { downloader, goThrough, ...sharing } = downloadPart(config, deps, {
    paths,
    database,
    time,
    blocks: uplink.blocks,
    url: enrolment.httpUrl,
    headers: () => httpHeaders(identity, time),
    onUnauthorised: () => void learnHubTime(),
    hubSpreadMs: () => uplink.downloadSpreadMs,
    tell,
  })
  const gatewayDown = (error: unknown) => happened('gateway_down', 'alarm', { because: because(error) })
  let neighbours: ReturnType<typeof gatewayPart> | undefined
  try {
    neighbours = config.gateway && gatewayPart(config.gateway, { paths, trust, clock, log, ...sharing })
  } catch (error) {
    // A disk that takes no gateway must not keep this device from its own model.
    gatewayDown(error)
  }
  goThrough(neighbours?.source)
  const medium = new Medium({
    paths,
    fleet,
    trust,
    onMetadata: () => keeper.refresh(),
    onDirective: (payload) => keeper.takeDirective(payload),
    onNew: (hasDirective) => happened('medium_taken', 'info', { hasDirective }),
  })

  const slots = Object.entries(config.slots).map(
    ([name, slotConfig]) =>
      new Slot(name, slotConfig, {
        paths,
        database,
        journal,
        spool,
        trust,
        pinnedRoot,
        downloader,
        time,
        clock,
        random,
        log,
        sysfs,
        runnerScript: deps.runnerScript,
        ledger,
        engine,
        limits: config.runner,
        opsetMax: () => runtime.opsetMax,
        isLinkUp: () => uplink.isUp,
        hindrance: mayInstall(config.install, sysfs, time),
        onRuntime: (found) => runtime.learn(found),
        onChange: () => uplink.reportSoon(),
        onStored: () => uplink.pump(),
        onBytes: (slot, bytesDone, bytesTotal) => {
          const { phase, goal } = journal.read(slot).deployment
          if (goal) uplink.progress({ slot, phase, releaseDigest: goal.releaseDigest, bytesDone, bytesTotal })
        },
        recordEnd: (slot, { code, detail, goal, bad = goal?.releaseDigest }) => {
          if (code && code !== 'ok')
            record({
              kind: 'deployment_failed',
              key: `deployment_failed/${slot}/${bad}/${time.nowMs()}`,
              severity: 'alarm',
              slot,
              ...(bad && { releaseDigest: bad }),
              detail: { code, because: detail ?? '' },
            })
        },
        onEnd: () => tidy(),
        happened,
      }),
  )

  const kickSlots = () => {
    for (const slot of slots) slot.deployer.kick()
  }
  const slotStates = () => slots.map(({ name }) => [name, journal.read(name)] as const)
  const tidy = () => tidyUp(slots, { paths, database, journal, trust, downloader, medium, log })

  function makeReport(): Report {
    const { directive } = trust
    return {
      _type: 'report',
      specVersion: 1,
      fleet,
      deviceId,
      session: spool.session,
      reportVersion: counters.advance('report'),
      directiveVersion: directive?.version ?? 0,
      at: time.nowMs(),
      slots: slotReports(slotStates(), directive),
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

  const isIssued = enrolment.ca !== undefined && config.tls.certFile === undefined
  const certificates = isIssued ? new CertificateKeeper(paths, identity, { ...deps, time }) : undefined
  const rotator = new KeyRotator(paths, identity, {
    fetch: deps.fetch,
    time,
    log,
    onRotated: () => {
      void certificates?.renew()
      uplink.reportSoon()
    },
  })

  for (const slot of slots) slot.start()
  tidy()
  const lookAtMedium = () =>
    medium.look().catch((error) => log.error({ because: because(error) }, 'cannot take what was imported'))
  void lookAtMedium()
  neighbours?.gateway
    .listen(config.gateway!.listen)
    .then(
      (port) => log.info({ listen: config.gateway!.listen, port }, 'serving blobs to neighbours'),
      gatewayDown,
    )
  let isStopped = false
  const everySecond = setInterval(() => {
    attempt(log, 'cannot sample the energy', () => {
      for (const slot of slots) slot.sample()
    })
    attempt(log, 'cannot read the spool', () => uplink.pump())
    if (!isStopped) void rotator.look()
    void lookAtMedium()
  }, secondMs)
  const everyMinute = setInterval(() => {
    health()
    void certificates?.look()
    attempt(log, 'cannot tidy up', tidy)
  }, minuteMs)
  health()
  // A birth says what runs here, and trying that out takes a moment, once; no engine is worth a device that stays silent.
  const isTooLate = new Promise((resolve) => setTimeout(resolve, engineWaitMs).unref())
  const isReady = Promise.all([engine.current(), certificates?.look()])
  void Promise.race([isReady, isTooLate]).finally(() => {
    if (!isStopped) uplink.start()
  })

  return {
    deviceId,
    async stop(status = 'offline') {
      isStopped = true
      keeper.stop()
      clearInterval(everyMinute)
      await Promise.all(slots.map((slot) => slot.stop()))
      await neighbours?.gateway.stop()
      await flush(spool, uplink)
      clearInterval(everySecond)
      await uplink.stop(status)
      database.close()
      unlock()
    },
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
