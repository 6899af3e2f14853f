import type { DatabaseSync } from 'node:sqlite'
import { readEnrolment } from './identity.ts'
import type { Paths } from './paths.ts'

/** What `godwit-agent status` prints. Reads only, and all of it at one moment, so that it may look at a running agent. */
export function readStatus(paths: Paths, sqlite: DatabaseSync): object {
  sqlite.exec('BEGIN')
  try {
    return statusIn(paths, sqlite)
  } finally {
    sqlite.exec('ROLLBACK')
  }
}

function statusIn(paths: Paths, sqlite: DatabaseSync): object {
  const enrolment = readEnrolment(paths)
  const slots = sqlite.prepare('SELECT * FROM slot').all() as Record<string, string | null>[]
  const checkpoints = sqlite.prepare('SELECT slot, body FROM checkpoint').all() as {
    slot: string
    body: string
  }[]
  const streams = sqlite
    .prepare(
      `SELECT s.stream, s.next_seq AS next, s.acked, s.dropped_count AS dropped, count(r.seq) AS records, total(r.bytes) AS bytes
       FROM spool_stream s LEFT JOIN spool_record r ON r.stream = s.stream GROUP BY s.stream`,
    )
    .all() as { stream: string; records: number }[]
  const quarantine = sqlite.prepare('SELECT release_digest AS releaseDigest, code, at FROM quarantine').all()
  return {
    fleet: enrolment?.fleet ?? null,
    deviceId: enrolment?.deviceId ?? null,
    slots: Object.fromEntries(
      slots.map(({ slot, deployment, active, last_known_good }) => [
        slot,
        {
          deployment: JSON.parse(deployment ?? 'null'),
          active: JSON.parse(active ?? 'null'),
          lastKnownGood: JSON.parse(last_known_good ?? 'null'),
          /** Where the last stored window ended in the source. */
          source: sourceOf(checkpoints.find((checkpoint) => checkpoint.slot === slot)?.body),
        },
      ]),
    ),
    spool: {
      records: streams.reduce((sum, { records }) => sum + records, 0),
      streams: Object.fromEntries(streams.map(({ stream, ...rest }) => [stream, rest])),
    },
    quarantine,
  }
}

function sourceOf(checkpoint: string | undefined): unknown {
  return checkpoint === undefined ? null : (JSON.parse(checkpoint) as { source: unknown }).source
}
