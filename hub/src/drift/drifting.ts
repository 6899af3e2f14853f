import type { VerdictWord } from '@godwit/protocol/drift/verdict'
import type { Db } from '../store/database.ts'

/** Verdicts on what slots run now, by their word. */
export async function wordsNow(db: Db): Promise<Record<VerdictWord, number>> {
  const rows = await runningStates(db)
    .select(({ fn }) => ['s.verdict', fn.countAll<number>().as('count')])
    .groupBy('s.verdict')
    .execute()
  const words = { alarm: 0, quiet: 0, 'not-enough-data': 0 }
  for (const { verdict, count } of rows) words[verdict as VerdictWord] = Number(count)
  return words
}

/** Only what runs now: the alarm of a release that was replaced is history. */
function runningStates(db: Db) {
  return db
    .selectFrom('drift_state as s')
    .innerJoin('device_slot as d', (join) =>
      join
        .onRef('d.device_id', '=', 's.device_id')
        .onRef('d.slot', '=', 's.slot')
        .onRef('d.release_digest', '=', 's.release_digest'),
    )
}

/** A release that devices run now and drift under. `features` are those that lead somewhere, the commonest first. */
export type DriftingRelease = { release: string; devices: number; features: string[] }

export async function driftingNow(db: Db): Promise<{ devices: number; releases: DriftingRelease[] }> {
  const alarms = runningStates(db).where('s.verdict', '=', 'alarm')
  const rows = await alarms
    .leftJoin('version as v', 'v.release_digest', 's.release_digest')
    .select(({ fn }) => ['v.model', 'v.version', 's.lead', fn.countAll<number>().as('count')])
    .groupBy(['s.release_digest', 'v.model', 'v.version', 's.lead'])
    .orderBy('count', 'desc')
    .execute()
  const releases = new Map<string, DriftingRelease>()
  for (const { model, version, lead, count } of rows) {
    const release = `${model ?? ''} ${version ?? ''}`
    const entry = releases.get(release) ?? { release, devices: 0, features: [] }
    entry.devices += Number(count)
    if (lead !== null) entry.features.push(lead)
    releases.set(release, entry)
  }
  const { devices } = await alarms
    .select(({ fn }) => fn.count<number>('s.device_id').distinct().as('devices'))
    .executeTakeFirstOrThrow()
  return { devices: Number(devices), releases: [...releases.values()] }
}
