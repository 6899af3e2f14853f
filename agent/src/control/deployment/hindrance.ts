import { type InstallWindow, isOpen, type LocalMoment } from '@godwit/protocol/install-window'
import type { Phase } from '@godwit/protocol/phase'
import type { ResultCode } from '@godwit/protocol/result-code'

/** What somebody asked for, about when this device may be worked on. */
export type InstallPolicy = {
  /** The device's own; empty: at any time. */
  windows: readonly InstallWindow[]
  batteryPercentMin?: number
  temperatureCelsiusMax?: number
}

/** What the device can tell of itself now; what it cannot tell hinders nothing. */
export type Conditions = {
  /** By the wall clock; undefined while that is behind what the device knows to be true. */
  moment: LocalMoment | undefined
  isLocked: boolean
  /** On battery only: on mains a half-full battery is nobody's trouble. */
  batteryPercent?: number
  temperatureCelsius?: number
}

const codes = ['deferred', 'outside_window', 'clock_untrusted'] as const satisfies readonly ResultCode[]
export type Hindrance = { code: (typeof codes)[number]; detail: string }

export function isHindrance(code: ResultCode): boolean {
  return (codes as readonly ResultCode[]).includes(code)
}

/** Work that costs power or time that somebody else needs. What it begins is ended: half a swap helps nobody. */
const hindered: ReadonlySet<Phase> = new Set(['downloading', 'self_testing'])

/**
 * Why a phase must not begin now. A deployment waits for as long as it takes and loses no attempt by it. Going back to
 * the last known good is never hindered.
 *
 * @param goalWindows of the directive: both these and the device's own must be open
 */
export function hindranceTo(
  phase: Phase,
  policy: InstallPolicy,
  goalWindows: readonly InstallWindow[],
  now: Conditions,
): Hindrance | undefined {
  if (!hindered.has(phase)) return undefined
  if (now.isLocked) return { code: 'deferred', detail: 'the user of this device has locked it' }
  const { batteryPercentMin, temperatureCelsiusMax } = policy
  // Only the limits are named: a sentence that changed with every reading would be a report at every reading.
  if (
    batteryPercentMin !== undefined &&
    now.batteryPercent !== undefined &&
    now.batteryPercent < batteryPercentMin
  )
    return { code: 'deferred', detail: `on battery, below ${batteryPercentMin} percent` }
  if (
    temperatureCelsiusMax !== undefined &&
    now.temperatureCelsius !== undefined &&
    now.temperatureCelsius > temperatureCelsiusMax
  )
    return { code: 'deferred', detail: `warmer than ${temperatureCelsiusMax} degrees Celsius` }
  // Bytes have budgets of their own; a window is about what is felt on the device.
  if (phase !== 'self_testing' || (policy.windows.length === 0 && goalWindows.length === 0)) return undefined
  if (!now.moment)
    return {
      code: 'clock_untrusted',
      detail: 'install windows are set, and the clock of this device is behind',
    }
  if (isOpen(policy.windows, now.moment) && isOpen(goalWindows, now.moment)) return undefined
  return { code: 'outside_window', detail: 'ready to install, waiting for its install window' }
}
