/** Sensor periods and time a window needs before energy per inference means anything (INA averages 0.1 s). */
const PERIODS_MIN = 20
const PER_INFERENCE_WINDOW_MS_MIN = 30_000

/** Below this the measured part no longer stands for the inferences of the whole window. Own choice. */
const PER_INFERENCE_COVERAGE_MIN = 0.9

export interface Attribution {
  /** Above idle, the runner's part. */
  readonly joules: number
  /** The part of the idle bill that goes with it. */
  readonly idleShareJoules: number
  /** Everybody else's, shown so that the three always add up to what the meter saw. */
  readonly unattributedJoules: number
}

/**
 * Splits a window's energy: idle first, the rest by the runner's share of all busy CPU time.
 *
 * Idle is shared out by the same share: whoever uses the machine pays for its being there, and several agents on one
 * machine together never pay more than the whole bill. (Splitting active from idle by CPU utilisation instead would
 * make idle vanish at full load.)
 *
 * @param joules energy over the measured part of the window
 * @param measuredMs length of that part
 * @param runnerCpuMs CPU time of the runner over the whole window
 * @param busyCpuMs CPU time of the whole system over the whole window; undefined when it is not known, and then
 *   nothing is attributed
 */
export function attribute(window: {
  joules: number
  measuredMs: number
  idleWatts: number
  runnerCpuMs: number
  busyCpuMs: number | undefined
}): Attribution {
  const idle = Math.min(window.joules, (window.idleWatts * window.measuredMs) / 1000)
  const share = cpuShare(window.runnerCpuMs, window.busyCpuMs)
  const joules = (window.joules - idle) * share
  const idleShareJoules = idle * share
  return {
    joules,
    idleShareJoules,
    unattributedJoules: Math.max(0, window.joules - joules - idleShareJoules),
  }
}

/** 0..1. Both sides tick in steps of 10 ms, so a short window may show a runner busier than its machine. */
function cpuShare(runnerCpuMs: number, busyCpuMs: number | undefined): number {
  if (busyCpuMs === undefined || !(runnerCpuMs > 0)) return 0
  return runnerCpuMs / Math.max(busyCpuMs, runnerCpuMs)
}

/**
 * Joules per inference, or undefined where the window is too short, too full of gaps or empty. There are no
 * per-request snapshots: at concurrency they count the same energy many times over.
 *
 * @param joules attributed energy of the measured part; inferences are taken to be spread evenly over the window
 */
export function joulesPerInference(
  joules: number,
  window: { inferences: number; windowMs: number; coverage: number; periodMs: number },
): number | undefined {
  const longEnough = window.windowMs >= Math.max(PER_INFERENCE_WINDOW_MS_MIN, PERIODS_MIN * window.periodMs)
  if (!longEnough || window.coverage < PER_INFERENCE_COVERAGE_MIN || window.inferences <= 0) return undefined
  return joules / (window.inferences * window.coverage)
}
