import { type CpuTimes, loadBetween, systemCpu } from '../../energy/cpu.ts'
import { type Sample, stretchBetween } from '../../energy/integrate.ts'
import type { Meter } from '../../energy/meter.ts'
import { probe } from '../../energy/probe.ts'
import type { Sysfs } from '../../energy/sysfs.ts'

export type BenchEnergy = {
  energyMicrojoules: number
  energyLabel: 'measured' | 'modelled'
  energySource: string
}

type Bench = (durationMs: number) => Promise<{ count: number }>

const restMs = 1_000
/** Sensor periods that a stretch must hold to mean anything, as for windows. */
const periodsMin = 20
const runMsMin = 2_000
/** Longer would hold the deployment up for a figure; a sensor that slow (a battery's) is left to the windows. */
const runMsMax = 10_000
const sampleMs = 100

/** The meter of this device, if it is one that a model may be judged or chosen by. */
export function benchMeter(sysfs: Sysfs): Meter | undefined {
  const { meter } = probe(sysfs)
  if (meter.label === 'assumed' || meter.periodMs * periodsMin > runMsMax) return undefined
  return meter
}

/**
 * Energy of one inference above what the device drew at rest just before, with the model loaded and still. Whatever else
 * the device does counts on both sides, so it cancels out where it is steady.
 *
 * Unit: microjoule. A meter noisier than the model is hungry gives less than nothing; that is 0 here. Undefined where a
 * read failed in between.
 *
 * @param bench runs the model for that long and says how often it answered
 */
export async function benchEnergy(
  meter: Meter,
  sysfs: Sysfs,
  monotonicMs: () => number,
  bench: Bench,
): Promise<BenchEnergy | undefined> {
  const span = new Span(meter, sysfs, monotonicMs)
  const { rest, run, count } = await restAndRun(span, meter, bench).finally(() => span.end())
  if (!rest || !run || rest.elapsedMs <= 0 || count <= 0) return undefined
  const restWatts = (rest.joules * 1_000) / rest.elapsedMs
  const above = run.joules - (restWatts * run.elapsedMs) / 1_000
  return {
    energyMicrojoules: Math.max(0, Math.round((above * 1e6) / count)),
    energyLabel: meter.label === 'measured' ? 'measured' : 'modelled',
    energySource: meter.source.slice(0, 64),
  }
}

async function restAndRun(span: Span, meter: Meter, bench: Bench) {
  await new Promise((resolve) => setTimeout(resolve, restMs))
  const rest = span.close()
  const { count } = await bench(Math.max(runMsMin, meter.periodMs * periodsMin))
  return { rest, run: span.close(), count }
}

/** Adds up what the meter sees; sampled meanwhile, because some meters only know the power of this moment. */
class Span {
  readonly #meter: Meter
  readonly #sysfs: Sysfs
  readonly #monotonicMs: () => number
  readonly #timer: NodeJS.Timeout
  #cpu: CpuTimes | undefined
  #last: Sample | undefined
  #joules: number | undefined = 0
  #elapsedMs = 0

  constructor(meter: Meter, sysfs: Sysfs, monotonicMs: () => number) {
    this.#meter = meter
    this.#sysfs = sysfs
    this.#monotonicMs = monotonicMs
    this.#sample()
    this.#timer = setInterval(() => this.#sample(), sampleMs)
  }

  /** What was seen since the last time; undefined when there is a hole in it. */
  close(): { joules: number; elapsedMs: number } | undefined {
    this.#sample()
    const seen = this.#joules === undefined ? undefined : { joules: this.#joules, elapsedMs: this.#elapsedMs }
    this.#joules = 0
    this.#elapsedMs = 0
    return seen
  }

  end(): void {
    clearInterval(this.#timer)
  }

  #sample(): void {
    const atMs = this.#monotonicMs()
    const cpu = systemCpu(this.#sysfs)
    const load = cpu && (this.#cpu ? loadBetween(this.#cpu, cpu) : { busyShare: 0, cores: cpu.cores })
    this.#cpu = cpu ?? this.#cpu
    const reading = this.#meter.read(load)
    if (reading === undefined) {
      this.#joules = undefined
      this.#last = undefined
      return
    }
    const after = { atMs, reading }
    if (this.#last) {
      const wattsMax = this.#meter.wattsMax ?? Number.POSITIVE_INFINITY
      const { joules, durationMs } = stretchBetween(this.#last, after, { readFailedBetween: false, wattsMax })
      if (durationMs > 0) {
        this.#joules = this.#joules === undefined || joules === undefined ? undefined : this.#joules + joules
        this.#elapsedMs += durationMs
      }
    }
    this.#last = after
  }
}
