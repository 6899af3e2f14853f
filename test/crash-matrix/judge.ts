import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { EventRecord, WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { Scene } from './lane.ts'

/** Endings of a deployment that are right: the story's own, and for a full disk a refusal for that reason. */
export type Endings = readonly { phase: string; code: string }[]

type Disk = {
  slot: { deployment: { phase: string; code?: string; answered: number }; active?: string; kept: string[] }
  pointer: { active?: string; kept: string[] }
  waiting: WindowRecord[]
  /** Readings that the real runner has taken from its source. */
  read: number
}

/**
 * What hub and disk show after a cell's last, unharmed start and stop. Every sentence is something that is wrong; none:
 * the cell is green.
 */
export function judge(scene: Scene, endings: Endings): string[] {
  const { hub, stateDir } = { hub: scene.hub, stateDir: scene.lane.stateDir }
  const disk = diskOf(stateDir)
  return [
    ...wrongOutcome(scene, disk, endings),
    ...wrongReports(scene),
    ...wrongEvents(scene),
    ...wrongReadings(scene, disk),
    ...hub.conflicts.map(
      ({ stream, seq }) => `record ${seq} of ${stream} came twice, with different contents`,
    ),
    ...wrongFiles(stateDir, disk),
  ]
}

function wrongOutcome({ hub, story, directiveVersion }: Scene, disk: Disk, endings: Endings): string[] {
  const slot = hub.hub.slot
  if (!slot) return ['the hub never heard of the slot']
  const wrong: string[] = []
  const { phase, code, answered } = slot
  if (!endings.some((one) => one.phase === phase && one.code === code))
    wrong.push(
      `ended as ${phase} (${code}: ${slot.detail}), expected ${endings.map((one) => `${one.phase} (${one.code})`).join(' or ')}`,
    )
  if (answered !== directiveVersion)
    wrong.push(`answered directive ${answered}, expected ${directiveVersion}`)
  const wanted = phase === 'committed' ? story.asked : story.before.at(-1)
  if (slot.active?.version !== wanted)
    wrong.push(`release ${slot.active?.version} is active, expected ${wanted} after ${phase}`)
  const signed = slot.active && hub.hub.blobs.get(slot.active.releaseDigest)
  if (slot.active) {
    if (!signed) wrong.push(`the active release ${slot.active.releaseDigest} was never signed`)
    else {
      const release = JSON.parse(signed.toString()) as { files: Record<string, { sha256: string }> }
      if (modelOf(release.files) !== slot.active.loadedDigest)
        wrong.push(`loaded ${slot.active.loadedDigest}, which is not the signed model`)
    }
  }
  const last = hub.hub.windows.at(-1)
  if (last?.releaseDigest !== slot.active?.releaseDigest)
    wrong.push(`the newest window is of release ${last?.version}, not of the active one`)
  for (const [name, state] of [
    ['database', disk.slot],
    ['pointer file', disk.pointer],
  ] as const)
    if (state.active !== slot.active?.releaseDigest)
      wrong.push(`the ${name} says that ${state.active} is active, the report ${slot.active?.releaseDigest}`)
  return wrong
}

function modelOf(files: Record<string, { sha256: string }>): string | undefined {
  return (files['model.json'] ?? files['model.onnx'])?.sha256
}

/**
 * An answer to a directive is given once: the number of the directive answered never sinks, and what was said with it
 * stays, however often it is said again.
 */
function wrongReports({ hub, directiveVersion }: Scene): string[] {
  const wrong: string[] = []
  let answered = 0
  let answer: string | undefined
  let version = 0
  for (const report of hub.hub.reports) {
    const slot = report.slots['default']
    if (report.reportVersion <= version)
      wrong.push(`report ${report.reportVersion} came after report ${version}`)
    version = report.reportVersion
    if (!slot) continue
    if (slot.answered < answered) wrong.push(`answered ${slot.answered} after ${answered}`)
    answered = slot.answered
    if (answered !== directiveVersion) continue
    const said = `${slot.phase} ${slot.code}`
    if (answer !== undefined && said !== answer) wrong.push(`the answer ${answer} became ${said}`)
    answer = said
  }
  return wrong
}

function wrongEvents({ hub, story }: Scene): string[] {
  const wrong: string[] = []
  const { events, slot } = hub.hub
  const keys = new Map<string, number>()
  for (const { key } of events) keys.set(key, (keys.get(key) ?? 0) + 1)
  if (!toldOfForgetting(hub))
    for (const [key, count] of keys) if (count > 1) wrong.push(`event ${key} came ${count} times`)
  const failures = events.filter(({ kind }) => kind === 'deployment_failed') as EventRecord[]
  const due = slot?.code === 'ok' ? 0 : 1
  if (failures.length !== due)
    wrong.push(`${failures.length} events of a failed deployment, expected ${due} (${story.asked})`)
  return wrong
}

/**
 * From the first reading to the last every one lies in one window, at the hub or still on the disk. The real runner's
 * windows begin and end at a time, so there they are counted.
 */
function wrongReadings({ hub, engine }: Scene, disk: Disk): string[] {
  const wrong = hub.hub.dropped.map(([stream, a, b]) => `records ${a} to ${b} of ${stream} were dropped`)
  if (engine === 'onnx') {
    const counted = [...hub.hub.windows, ...disk.waiting].reduce((sum, { readings }) => sum + readings, 0)
    if (counted !== disk.read && !toldOfForgetting(hub))
      wrong.push(`the windows hold ${counted} readings, the source gave ${disk.read}`)
    return wrong
  }
  const spans = [...hub.hub.windows, ...disk.waiting]
    .map(({ start, end }) => [start, end] as const)
    .sort((a, b) => a[0] - b[0])
  let at = 0
  for (const [start, end] of spans) {
    if (start > at) wrong.push(`the readings ${at} to ${start} are in no window`)
    if (start < at && !toldOfForgetting(hub)) wrong.push(`the readings ${start} to ${at} are in two windows`)
    at = Math.max(at, end)
  }
  return wrong
}

/**
 * A device that could not even make its database works from memory and says so at once, as an alarm. What it read then
 * it reads again after the next start, under a new session: the hub can tell, and nothing is lost.
 */
function toldOfForgetting({ hub }: Scene['hub']): boolean {
  return hub.events.some(({ kind }) => kind === 'state_not_durable') && hub.sessions.length > 1
}

/** The files of a device that is at rest and stopped. */
export function wrongOnDisk(stateDir: string): string[] {
  return wrongFiles(stateDir, diskOf(stateDir))
}

/** Nothing under a name that its bytes do not have, nothing half, and nothing that nobody holds. */
function wrongFiles(stateDir: string, disk: Disk): string[] {
  const wrong: string[] = []
  const kept = new Set([...disk.slot.kept, ...disk.pointer.kept])
  const blobs = new Set(kept)
  for (const digest of kept) {
    const text = textOf(join(stateDir, 'blobs', digest))
    if (text === undefined) {
      wrong.push(`the release document ${digest} is not there`)
      continue
    }
    const { files } = JSON.parse(text) as { files: Record<string, { sha256: string }> }
    for (const [path, { sha256 }] of Object.entries(files)) {
      blobs.add(sha256)
      if (digestOf(join(stateDir, 'releases', digest, 'bundle', path)) !== sha256)
        wrong.push(`${path} of the staged release ${digest} is not what was signed`)
    }
  }
  for (const name of namesIn(join(stateDir, 'blobs'))) {
    if (!blobs.has(name)) wrong.push(`blobs/${name} belongs to no release that is kept`)
    else if (digestOf(join(stateDir, 'blobs', name)) !== name)
      wrong.push(`blobs/${name} has other bytes than its name says`)
  }
  for (const name of namesIn(join(stateDir, 'releases')))
    if (!kept.has(name)) wrong.push(`releases/${name} belongs to no release that is kept`)
  if (existsSync(join(stateDir, 'agent.lock'))) wrong.push('the lock is still there after a clean stop')
  return wrong
}

function diskOf(stateDir: string): Disk {
  const sqlite = new DatabaseSync(join(stateDir, 'agent.db'), { readOnly: true })
  try {
    const row = sqlite.prepare("SELECT * FROM slot WHERE slot = 'default'").get() as
      | Record<string, string>
      | undefined
    const waiting = sqlite.prepare("SELECT body FROM spool_record WHERE stream = 'window'").all()
    const checkpoint = String(sqlite.prepare('SELECT body FROM checkpoint').get()?.['body'] ?? '{}')
    const pointer = JSON.parse(textOf(join(stateDir, 'slots', 'default.json')) ?? '{}') as Held
    return {
      slot: {
        deployment: JSON.parse(row?.['deployment'] ?? '{}'),
        ...heldBy({
          active: JSON.parse(row?.['active'] ?? 'null') ?? undefined,
          lastKnownGood: JSON.parse(row?.['last_known_good'] ?? 'null') ?? undefined,
        }),
      },
      pointer: heldBy(pointer),
      read: (JSON.parse(checkpoint) as { source?: { index?: number } }).source?.index ?? 0,
      waiting: waiting.map(({ body }) => JSON.parse(String(body)) as WindowRecord),
    }
  } finally {
    sqlite.close()
  }
}

type Held = { active?: { releaseDigest: string }; lastKnownGood?: { releaseDigest: string } }

function heldBy({ active, lastKnownGood }: Held): { active?: string; kept: string[] } {
  const kept = [active, lastKnownGood].flatMap((one) => (one ? [one.releaseDigest] : []))
  return { ...(active && { active: active.releaseDigest }), kept }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function digestOf(path: string): string | undefined {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex')
  } catch {
    return undefined
  }
}

function namesIn(directory: string): string[] {
  try {
    return statSync(directory).isDirectory() ? readdirSync(directory) : []
  } catch {
    return []
  }
}
