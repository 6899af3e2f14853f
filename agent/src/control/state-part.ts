import type { EnrolmentAnswer } from '@godwit/protocol/messages/enrolment'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { AgentConfig } from '../config.ts'
import { type Clock, TrustedTime } from './clock.ts'
import { Journal } from './deployment/journal.ts'
import { occurrences, recorder, teller } from './events.ts'
import { because, type Log } from './log.ts'
import type { Paths } from './paths.ts'
import { Spool, spoolTimeMs } from './spool/spool.ts'
import { Counters } from './state/counters.ts'
import { openDatabase } from './state/database.ts'
import { readMeta, writeMeta } from './state/memory.ts'

type World = { clock: Clock; log: Log; builtAtMs: number }

/** Everything that a restart must find again, and the ways to say that something happened. */
export function statePart(config: AgentConfig, world: World, paths: Paths, enrolment: EnrolmentAnswer) {
  const { clock, log } = world
  const opened = openDatabase(paths.database, clock.wallMs())
  const { database } = opened
  const foundationMs = Math.max(world.builtAtMs, fromRfc3339(enrolment.time))
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
  return { database, time, counters, journal, spool, record, tell, happened: occurrences(tell, time) }
}
