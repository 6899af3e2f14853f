import type { DropReason } from '@godwit/protocol/messages/telemetry'
import type { DeviceStatus } from '../fleet/device.ts'
import { type Completeness, summaryOf } from './completeness.ts'
import type { Outage } from './on-device.ts'
import { countIn } from './ranges.ts'

export type GapReason = DropReason | 'awaited' | 'never_arrived'

/** Why a record is not here, for a person; the page and the command line say it in the same words. */
export const gapWords: Record<GapReason, string> = {
  awaited: 'not here yet: in the spool of the device, or on its way',
  spool_full: 'dropped by the device: its spool was full',
  too_old: 'dropped by the device: older than its spool keeps records',
  too_large: 'dropped by the device: larger than a batch may be',
  never_arrived: 'lost: the device holds it no more and has not said why',
}

/** How much is here, what is not and why, and that nothing counts twice. */
export function completenessSentence(
  streams: readonly Completeness[],
  outages: readonly Outage[],
  status: DeviceStatus,
): string {
  const away = status === 'online' ? '' : ` What it measures while it is ${status} waits in its spool.`
  if (streams.length === 0) return `No telemetry yet.${away}`
  const { stored, duplicates, forgotten, rejected } = summaryOf(streams)
  const gaps = streams.flatMap(({ missing, dropped }) => [...missing, ...dropped])
  const reasons = Object.keys(gapWords) as GapReason[]
  const byReason = reasons.flatMap((reason) => {
    const ranges = gaps.filter((gap) => gap.reason === reason)
    const count = countIn(ranges.map(({ first, last }) => [first, last] as const))
    return count > 0 ? [`${count} ${gapWords[reason]}`] : []
  })
  const unnumbered = outages.reduce((sum, { windowsDropped }) => sum + windowsDropped, 0)
  const parts = [
    ...byReason,
    ...(forgotten > 0 ? [`${forgotten} let go before this hub first heard of the device`] : []),
    ...(unnumbered > 0 ? [`${unnumbered} windows never written: the disk of the device took nothing`] : []),
    ...(rejected > 0 ? [`${rejected} refused as malformed`] : []),
  ]
  const here = `${stored} ${stored === 1 ? 'record' : 'records'} stored`
  const twice = duplicates > 0 ? `${duplicates} came again and were not stored twice` : 'none counted twice'
  return `${[parts.length === 0 ? `Complete: ${here}, none missing` : here, ...parts, twice].join('; ')}.${away}`
}
