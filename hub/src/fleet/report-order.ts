import { tokenSkewMsMax } from '@godwit/protocol/limits'
import type { Report } from '@godwit/protocol/messages/report'
import type { EpochMs } from '@godwit/protocol/units'

/**
 * Is this report newer than the one on record (SPEC 6.6)? Within a session the number decides. A session changes only
 * when a device lost its state, and then the time it says decides: a replayed report of an old session is older. A report
 * that was made by a clock that ran ahead of the hub's decides nothing, or nobody would hear that device for years.
 *
 * @param now of the hub, milliseconds since 1970
 */
export function isNewerReport(held: Report | undefined, fresh: Report, now: EpochMs): boolean {
  if (!held) return true
  if (held.session === fresh.session) return fresh.reportVersion > held.reportVersion
  return fresh.at > held.at || held.at > now + tokenSkewMsMax
}
