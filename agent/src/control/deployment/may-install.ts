import { type InstallWindow, parseInstallWindow } from '@godwit/protocol/install-window'
import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Phase } from '@godwit/protocol/phase'
import type { AgentConfig } from '../../config.ts'
import type { Sysfs } from '../../energy/sysfs.ts'
import type { TrustedTime } from '../clock.ts'
import { conditionsNow } from './conditions.ts'
import { type Hindrance, hindranceTo, type InstallPolicy } from './hindrance.ts'

/** The question that a deployment asks before each phase, with this device's policy and senses in it. */
export function mayInstall(
  install: AgentConfig['install'],
  sysfs: Sysfs,
  time: TrustedTime,
): (phase: Phase, goal: SlotGoal | undefined) => Hindrance | undefined {
  const { windows, batteryPercentMin, temperatureCelsiusMax } = install
  const policy: InstallPolicy = {
    windows: windowsOf(windows),
    ...(batteryPercentMin !== undefined && { batteryPercentMin }),
    ...(temperatureCelsiusMax !== undefined && { temperatureCelsiusMax }),
  }
  return (phase, goal) =>
    hindranceTo(phase, policy, windowsOf(goal?.installWindows ?? []), conditionsNow(sysfs, time, install))
}

/** Configuration and directive were checked when they came in; what no longer parses opens nothing. */
function windowsOf(texts: readonly string[]): InstallWindow[] {
  return texts.map((text) => {
    const window = parseInstallWindow(text)
    return typeof window === 'string' ? { days: [], fromMinute: 0, toMinute: 1 } : window
  })
}
