import { Fault } from '@godwit/protocol/fault'
import type { EnergyFigure } from '@godwit/protocol/messages/telemetry'
import { attribute, joulesPerInference } from './attribute.ts'
import { type CpuTimes, loadBetween, systemCpu } from './cpu.ts'
import { IdleByState } from './idle.ts'
import { type Sample, type Stretch, stretchBetween } from './integrate.ts'
import { type EnergyScope, type Meter, worstLabel } from './meter.ts'
import { type Choice, probe } from './probe.ts'
import { knownBoard } from './sources/board.ts'
import type { Sysfs } from './sysfs.ts'

/** What the wire allows (protocol's EnergyFigure); a server with eight sockets has a long list of RAPL domains. */
const SOURCE_LENGTH_MAX = 64

/** Where the idle power came from, and what that makes of the label at best. */
const idleLabels = {
  'quiet-minutes': 'measured',
  model: 'measured',
  'board-table': 'modelled',
  none: 'assumed',
} as const

/**
 * One window's energy on this device: the wire's figure and what only the device knows about it. `joules`,
 * `idleShareJoules` and `unattributedJoules` add up to everything the meter saw in the measured part of the window.
 * Missing energy is in `coverage`, never in a 0.
 */
export interface WindowEnergy extends EnergyFigure {
  readonly scope: EnergyScope
  readonly windowMs: number
  readonly inferences: number
  readonly idleBasis: keyof typeof idleLabels
  /** Everything the meter saw, over the measured time; absent when nothing was measured. */
  readonly powerWattsMean?: number
  /** Above idle. Absent when the window is too short, too empty or too full of gaps to say. */
  readonly joulesPerInference?: number
  readonly joulesPerInferenceWithIdle?: number
}

export interface EnergyMeterOptions {
  readonly sysfs: Sysfs
  /** CPU time of the whole system; by default from /proc/stat. */
  readonly readSystemCpu?: () => CpuTimes | undefined
  /** CPU time of all of the agent's processes since they started; tells quiet minutes. Default: the whole system's. */
  readonly readAgentCpuMs?: () => number | undefined
  readonly choose?: () => Choice
}

interface Window {
  readonly startedMs: number
  readonly busyCpuMs: number | undefined
  joules: number
  measuredMs: number
}

/** Wraps the best source there is. All times are monotonic milliseconds given by the caller. */
export class EnergyMeter {
  readonly #options: EnergyMeterOptions
  #idle = new IdleByState()
  #state = ''
  #choice: Choice
  #window: Window | undefined
  #last: Sample | undefined
  #readFailed = false
  #cpu: CpuTimes | undefined
  #agentCpuMs: number | undefined

  constructor(options: EnergyMeterOptions) {
    this.#options = options
    this.#choice = this.#choose()
  }

  /** What was chosen and why the better sources were not. */
  get choice(): Choice {
    return this.#choice
  }

  /** @param state names the power mode and what is loaded: idle power is learnt apart for each */
  setState(state: string): void {
    this.#state = state
    this.#idle.setState(state)
  }

  start(nowMs: number): void {
    this.#last = undefined
    this.#cpu = undefined
    this.#agentCpuMs = undefined
    this.#read(nowMs)
    this.#openWindow(nowMs)
  }

  /** A handful of small file reads; call it every second or so, at least every ten. */
  sample(nowMs: number): void {
    const window = this.#window
    if (window === undefined) throw new Fault('energy-meter-not-started', 'sample() came before start()')
    const stretch = this.#read(nowMs)
    if (stretch?.joules === undefined) return
    window.joules += stretch.joules
    window.measuredMs += stretch.durationMs
  }

  /**
   * Takes a last sample, tells what the window cost, and begins the next one.
   *
   * @param use.runnerCpuMs CPU time the runner used in this window
   */
  closeWindow(nowMs: number, use: { runnerCpuMs: number; inferences: number }): WindowEnergy {
    this.sample(nowMs)
    const window = this.#window!
    const figure = this.#figure(window, Math.max(0, nowMs - window.startedMs), use)
    // Energy across the edge of a window would belong to both: after a failed read the next window starts afresh.
    if (this.#readFailed) this.#last = undefined
    if (figure.windowMs > 0 && window.measuredMs === 0) this.#replaceSource(nowMs)
    this.#openWindow(nowMs)
    return figure
  }

  /** A source silent for a whole window is gone (a charger was plugged in, a driver unloaded): take the next best. */
  #replaceSource(nowMs: number): void {
    this.#choice = this.#choose()
    this.#last = undefined
    // Another source sees another idle power.
    this.#idle = new IdleByState()
    this.#idle.setState(this.#state)
    this.#read(nowMs)
  }

  #choose(): Choice {
    return this.#options.choose?.() ?? probe(this.#options.sysfs)
  }

  #openWindow(nowMs: number): void {
    this.#window = { startedMs: nowMs, busyCpuMs: this.#cpu?.busyMs, joules: 0, measuredMs: 0 }
  }

  /** One reading, and what lies between it and the last good one. */
  #read(nowMs: number): Stretch | undefined {
    const { meter } = this.#choice
    const cpu = this.#options.readSystemCpu ? this.#options.readSystemCpu() : systemCpu(this.#options.sysfs)
    // The first reading of a model is its starting point; there is no load yet to speak of.
    const load = cpu && (this.#cpu ? loadBetween(this.#cpu, cpu) : { busyShare: 0, cores: cpu.cores })
    const reading = meter.read(load)
    const before = this.#last
    const busyBefore = this.#agentCpuMs ?? Number.NaN
    this.#cpu = cpu ?? this.#cpu
    if (reading === undefined) {
      this.#readFailed = true
      return undefined
    }
    const after = { atMs: nowMs, reading }
    const circumstances = {
      readFailedBetween: this.#readFailed,
      wattsMax: meter.wattsMax ?? Number.POSITIVE_INFINITY,
    }
    this.#last = after
    this.#readFailed = false
    this.#agentCpuMs = this.#options.readAgentCpuMs ? this.#options.readAgentCpuMs() : cpu?.busyMs
    if (before === undefined) return undefined
    const stretch = stretchBetween(before, after, circumstances)
    const agentCpuMs = (this.#agentCpuMs ?? Number.NaN) - busyBefore
    this.#idle.add(stretch, Number.isNaN(agentCpuMs) ? undefined : agentCpuMs)
    return stretch
  }

  /** The model's own idle, else what quiet minutes showed, else the board table where the scope is the board. */
  #idlePower(meter: Meter): { idleWatts: number; idleBasis: WindowEnergy['idleBasis'] } {
    if (meter.idleWatts !== undefined) return { idleWatts: meter.idleWatts, idleBasis: 'model' }
    const quiet = this.#idle.watts
    if (quiet !== undefined) return { idleWatts: quiet, idleBasis: 'quiet-minutes' }
    const known =
      meter.scope === 'board' || meter.scope === 'device' ? knownBoard(this.#options.sysfs) : undefined
    return known
      ? { idleWatts: known.idleWatts, idleBasis: 'board-table' }
      : { idleWatts: 0, idleBasis: 'none' }
  }

  #figure(window: Window, windowMs: number, use: { runnerCpuMs: number; inferences: number }): WindowEnergy {
    const { meter } = this.#choice
    const { joules, measuredMs } = window
    const { idleWatts, idleBasis } = this.#idlePower(meter)
    const busyCpuMs =
      this.#cpu === undefined || window.busyCpuMs === undefined
        ? undefined
        : this.#cpu.busyMs - window.busyCpuMs
    const shares = attribute({ joules, measuredMs, idleWatts, runnerCpuMs: use.runnerCpuMs, busyCpuMs })
    const coverage = windowMs > 0 ? Math.min(1, measuredMs / windowMs) : 0
    const span = { inferences: use.inferences, windowMs, coverage, periodMs: meter.periodMs }
    const perInference = joulesPerInference(shares.joules, span)
    const perInferenceWithIdle = joulesPerInference(shares.joules + shares.idleShareJoules, span)
    return {
      ...shares,
      label: worstLabel(meter.label, idleLabels[idleBasis]),
      source: meter.source.slice(0, SOURCE_LENGTH_MAX),
      scope: meter.scope,
      coverage,
      sigmaFactor: meter.sigmaFactor,
      windowMs,
      inferences: use.inferences,
      cpuMs: use.runnerCpuMs,
      idleBasis,
      ...(measuredMs > 0 && { powerWattsMean: (joules * 1000) / measuredMs }),
      ...(perInference !== undefined && { joulesPerInference: perInference }),
      ...(perInferenceWithIdle !== undefined && { joulesPerInferenceWithIdle: perInferenceWithIdle }),
    }
  }
}
