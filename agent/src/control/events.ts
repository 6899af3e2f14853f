import { checkBody, type EventRecord } from '@godwit/protocol/messages/telemetry'
import type { TrustedTime } from './clock.ts'
import { because, type Log } from './log.ts'
import type { Spool } from './spool/spool.ts'

export type Telling = Omit<EventRecord, 'at' | 'slot' | 'releaseDigest'> & {
  slot?: string
  releaseDigest?: string
}

/**
 * Says something loudly: into the log, and to the hub by way of the spool, once per key. Throws when the disk does not
 * take it: for what must be told together with something else that is stored.
 */
export function recorder(spool: Spool, time: TrustedTime, log: Log): (telling: Telling) => void {
  return (telling) => {
    const at = time.nowMs()
    const body: EventRecord = {
      ...telling,
      key: telling.key.slice(0, 200),
      at,
      detail: shortened(telling.detail),
    }
    log.warn({ kind: telling.kind, ...telling.detail }, 'event')
    const read = checkBody('event', body)
    if (!read.ok) return log.error({ because: read.detail }, 'event left out')
    spool.append([{ stream: 'event', body, at: time.leastMs() }], time.leastMs())
  }
}

/** The same for everything else: on a full disk the log line is all that is left. */
export function teller(record: (telling: Telling) => void, log: Log): (telling: Telling) => void {
  return (telling) => {
    try {
      record(telling)
    } catch (error) {
      log.error({ kind: telling.kind, because: because(error) }, 'cannot store an event')
    }
  }
}

/** For what happened in this process at this moment: each time is one of its own, two in one millisecond as well. */
export function occurrences(tell: (telling: Telling) => void, time: TrustedTime) {
  let told = 0
  return (
    kind: string,
    severity: Telling['severity'],
    detail: Telling['detail'],
    about: Pick<Telling, 'slot' | 'releaseDigest'> = {},
  ): void => tell({ kind, key: `${kind}/${time.nowMs()}/${++told}`, severity, detail, ...about })
}

function shortened(detail: EventRecord['detail']): EventRecord['detail'] {
  return Object.fromEntries(
    Object.entries(detail).map(([name, value]) => [
      name,
      typeof value === 'string' ? value.slice(0, 1024) : value,
    ]),
  )
}
