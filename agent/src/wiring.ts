import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { freemem } from 'node:os'
import type { Birth } from '@godwit/protocol/messages/presence'
import type { Report } from '@godwit/protocol/messages/report'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { AgentConfig } from './config.ts'
import { hardwareOf, opsetMaxOf, type Runtime, unknownRuntime } from './control/birth.ts'
import { CertificateKeeper } from './control/client-certificate.ts'
import { type Clock, TrustedTime } from './control/clock.ts'
import { isAtRest } from './control/deployment/deployment.ts'
import { collectGarbage } from './control/deployment/garbage.ts'
import { Journal } from './control/deployment/journal.ts'
import { mayInstall } from './control/deployment/may-install.ts'
import { downloadPart } from './control/download/download-part.ts'
import { engineOf } from './control/engine-part.ts'
import { recorder, teller } from './control/events.ts'
import { diskFreeBytes } from './control/files.ts'
import { gatewayPart } from './control/gateway/gateway-part.ts'
import { healthRecord } from './control/health.ts'
import { httpHeaders, hubTime, metadataOverHttp } from './control/hub-http.ts'
import { deviceKey, type Identity, readEnrolment } from './control/identity.ts'
import { join } from './control/join.ts'
import { fetchOver, HubTls } from './control/link/tls.ts'
import { because, type Log } from './control/log.ts'
import { Medium } from './control/medium/medium.ts'
import { pathsIn } from './control/paths.ts'
import { codeFor, sealReport, slotReport } from './control/report.ts'
import { isRotationAsked, rotateKey } from './control/rotate-key.ts'
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

  const opened = openDatabase(paths.database, clock.wallMs())
  const { database } = opened
  const foundationMs = Math.max(deps.builtAtMs, fromRfc3339(enrolment.time))
  const time = new TrustedTime(
    clock,
    Math.max(foundationMs, Number(readMeta(database, 'floor') ?? 0)),
    (value) => writeMeta(database, 'floor', String(value)),
    spoolTimeMs(database),
    foundationMs,
  )
  const counters = new Counters(database, () => time.nowMs())
  const journal = new Journal(database, paths)
  const spool = new Spool(database, config.spool)
  const record = recorder(spool, time, log)
  const tell = teller(record, log)
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

  const pinnedRoot = new Uint8Array(Buffer.from(enrolment.root, 'base64'))
  const http = config.download.via !== 'mqtt'
  const trust = new Trust({
    paths,
    names: { fleet, deviceId },
    time,
    pinnedRoot,
    askMetadata: (role, version) => uplink.metadata(role, version),
    ...(http && { fetchMetadata: metadataOverHttp(enrolment.httpUrl, deps.fetch) }),
  })
  const sender = new Sender(spool, identity, { fleet, deviceId })
  let runtime: Runtime = JSON.parse(readMeta(database, 'runtime') ?? 'null') ?? unknownRuntime
  const learnRuntime = (found: Runtime) => {
    if (JSON.stringify(found) === JSON.stringify(runtime)) return
    runtime = found
    attempt(log, 'cannot store the runtime', () => writeMeta(database, 'runtime', JSON.stringify(found)))
  }
  const engine = engineOf({
    ...config,
    ...deps,
    ledger,
    recall: () => (runtime.name === unknownRuntime.name ? undefined : readMeta(database, 'preflight')),
    remember: (text) =>
      attempt(log, 'cannot store a preflight', () => writeMeta(database, 'preflight', text)),
    onRuntime: learnRuntime,
    tell: (kind, severity, detail) => tell({ kind, key: `${kind}/${time.nowMs()}`, severity, detail }),
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
      downloader.kick()
      for (const slot of slots) slot.deployer.kick()
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
  const neighbours = config.gateway && gatewayPart(config.gateway, { paths, trust, clock, log, ...sharing })
  goThrough(neighbours?.source)
  const medium = new Medium({
    paths,
    fleet,
    trust,
    onMetadata: () => refresh(),
    onDirective: (payload) => takeDirective(payload),
    onNew: (hasDirective) =>
      tell({
        kind: 'medium_taken',
        key: `medium_taken/${time.nowMs()}`,
        severity: 'info',
        detail: { hasDirective },
      }),
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
        recordEnd: (slot, { code, detail, goal }) => {
          if (code && code !== 'ok')
            record({
              kind: 'deployment_failed',
              key: `deployment_failed/${slot}/${goal?.releaseDigest}/${time.nowMs()}`,
              severity: 'alarm',
              slot,
              ...(goal && { releaseDigest: goal.releaseDigest }),
              detail: { code, because: detail ?? '' },
            })
        },
        onEnd: () => tidy(),
        tell,
      }),
  )

  /**
   * Only when no slot has anything on its way, so that nothing half fetched is taken for rubbish. At every end of a
   * deployment, and again at every start and every minute: a power cut or a bad moment of the disk leaves the rest.
   */
  function tidy(): void {
    const states = slots.map(({ name }) => journal.read(name))
    if (!states.every(({ deployment }) => isAtRest(deployment.phase))) return
    const kept = slots.map((slot) => slot.kept)
    if (kept.every((digests) => digests !== undefined))
      attempt(log, 'cannot tidy up', () => collectGarbage(paths, database, new Set(kept.flat())))
    attempt(log, 'cannot close the books of a download', () => downloader.forgetPlans())
    const version = trust.directive?.version ?? 0
    if (states.every(({ deployment }) => deployment.directiveVersion >= version))
      attempt(log, 'cannot remove what came from a stick', () => medium.remove())
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
  tidy()
  const lookAtMedium = () =>
    medium.look().catch((error) => log.error({ because: because(error) }, 'cannot take what was imported'))
  void lookAtMedium()
  neighbours?.gateway.listen(config.gateway!.listen).then(
    (port) => log.info({ listen: config.gateway!.listen, port }, 'serving blobs to neighbours'),
    (error) =>
      tell({
        kind: 'gateway_down',
        key: `gateway_down/${time.nowMs()}`,
        severity: 'alarm',
        detail: { because: because(error) },
      }),
  )
  const everySecond = setInterval(() => {
    attempt(log, 'cannot sample the energy', () => {
      for (const slot of slots) slot.sample()
    })
    attempt(log, 'cannot read the spool', () => uplink.pump())
    void rotateIfAsked()
    void lookAtMedium()
  }, secondMs)
  /** Asked for by `godwit-agent rotate-key`, or begun before a power cut. The link comes up again with the new key. */
  let isRotating = false
  async function rotateIfAsked(): Promise<void> {
    if (isRotating || stopped || !isRotationAsked(paths)) return
    isRotating = true
    try {
      const from = identity.keyid
      Object.assign(identity, await rotateKey(paths, identity, { fetch: deps.fetch, time }))
      log.info({ from, to: identity.keyid }, 'device key rotated')
      void certificates?.renew()
      uplink.reportSoon()
    } catch (error) {
      log.warn({ because: because(error) }, 'cannot rotate the device key yet')
    } finally {
      isRotating = false
    }
  }

  const isIssued = enrolment.ca !== undefined && config.tls.certFile === undefined
  const certificates = isIssued ? new CertificateKeeper(paths, identity, { ...deps, time }) : undefined

  const everyMinute = setInterval(() => {
    health()
    void certificates?.look()
    attempt(log, 'cannot tidy up', tidy)
  }, healthMs)
  health()
  // A birth says what runs here, and trying that out takes a moment, once; no engine is worth a device that stays silent.
  const isTooLate = new Promise((resolve) => setTimeout(resolve, engineWaitMs).unref())
  const isReady = Promise.all([engine.current(), certificates?.look()])
  void Promise.race([isReady, isTooLate]).finally(() => {
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

/** Work that must not bring the agent down, such as writing to a disk that may be full. */
function attempt(log: Log, what: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    log.error({ because: because(error) }, what)
  }
}
