import type { EnergyFigure } from '@godwit/protocol/messages/telemetry'
import { processCpuMs } from '../energy/cpu.ts'
import { EnergyMeter } from '../energy/energy-meter.ts'
import type { Sysfs } from '../energy/sysfs.ts'

/** One slot's meter, sampled each second and closed with each window. Times are monotonic milliseconds. */
export class SlotEnergy {
  readonly #sysfs: Sysfs
  readonly #meter: EnergyMeter
  #pid: number | undefined
  #cpuMsAtStart = 0

  constructor(sysfs: Sysfs, nowMs: number) {
    this.#sysfs = sysfs
    this.#meter = new EnergyMeter({ sysfs })
    this.#meter.start(nowMs)
  }

  /** @param state names the set of loaded models: idle power differs between them */
  sample(nowMs: number, state: string): void {
    this.#meter.setState(state)
    this.#meter.sample(nowMs)
  }

  /** Another process serves from now on; its start-up belongs to its first window. */
  servedBy(pid: number | undefined): void {
    this.#pid = pid
    this.#cpuMsAtStart = 0
  }

  /** What the window cost. A runner that is gone leaves the CPU time that was last seen: zero, never a guess. */
  close(nowMs: number, inferences: number): EnergyFigure {
    const cpuMs =
      (this.#pid === undefined ? undefined : processCpuMs(this.#sysfs, this.#pid)) ?? this.#cpuMsAtStart
    const runnerCpuMs = Math.max(0, cpuMs - this.#cpuMsAtStart)
    this.#cpuMsAtStart = cpuMs
    const figure = this.#meter.closeWindow(nowMs, { runnerCpuMs, inferences })
    const { joules, idleShareJoules, unattributedJoules, label, source, scope, coverage, sigmaFactor } =
      figure
    return {
      joules: Math.max(0, joules),
      idleShareJoules: Math.max(0, idleShareJoules),
      unattributedJoules: Math.max(0, unattributedJoules),
      label,
      source,
      scope,
      coverage,
      sigmaFactor,
      cpuMs: runnerCpuMs,
    }
  }
}
