import type { Report } from '@godwit/protocol/messages/report'

/**
 * Is this report newer than the one on record (SPEC 6.6)? Within a session the number decides. A session changes only
 * when a device lost its state, and then its clock floor decides: a replayed report of an old session is older.
 */
export function isNewerReport(held: Report | undefined, fresh: Report): boolean {
  if (!held) return true
  if (held.session === fresh.session) return fresh.reportVersion > held.reportVersion
  return fresh.at > held.at
}
