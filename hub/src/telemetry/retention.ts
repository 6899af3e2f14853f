import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EpochMs } from '@godwit/protocol/units'
import type { Database, Db } from '../store/database.ts'
import {
  deleteThrough,
  firstReceivedSince,
  type StreamKey,
  type StreamState,
  saveStreamState,
  streamsOf,
} from './telemetry-store.ts'

/**
 * Forgets records that were received before `cutoff`, from the oldest of a stream up to the first that is younger, and
 * never beyond what is settled. What was forgotten stays counted, and is a duplicate when it comes again. One stream a
 * transaction, so that ingest never waits for all of them. Answers how many records went.
 */
export async function forgetBefore(database: Database, cutoff: EpochMs): Promise<number> {
  const { db, transaction } = database
  const devices = await db.selectFrom('stream_state').select('device_id').distinct().execute()
  let gone = 0
  for (const { device_id: deviceId } of devices) {
    for (const stream of await streamsOf(db, deviceId)) {
      if (stream.firstAt >= cutoff || stream.keptFrom > stream.contiguous) continue
      gone += await transaction((trx) => forget(trx, stream, cutoff))
    }
    // SQLite answers at once: without this, thousands of devices would hold up everything else for seconds.
    await nextTurn()
  }
  return gone
}

async function forget(trx: Db, stream: StreamKey & StreamState, cutoff: EpochMs): Promise<number> {
  const young = await firstReceivedSince(trx, stream, cutoff)
  const through = Math.min(stream.contiguous, (young ?? Number.MAX_SAFE_INTEGER) - 1)
  if (through < stream.keptFrom) return 0
  const { deviceId, session, stream: name, ...state } = stream
  await saveStreamState(trx, { deviceId, session, stream: name }, { ...state, keptFrom: through + 1 })
  return deleteThrough(trx, stream, through)
}
