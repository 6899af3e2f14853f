import { type Call, changingCalls, openingCalls, readingCalls } from './trace.ts'
import type { Engine } from './victim-messages.ts'

/**
 * One system call of the unharmed run, and how to hit it again: the `nth` call of this name that this thread makes with
 * this path in it. Counting by path makes a run that stores one window more hit the same call all the same.
 */
export type Place = {
  story: string
  /** In the order of the unharmed run, over both threads. */
  index: number
  thread: 'main' | 'pool'
  call: string
  /** Below the state directory, `.` for the directory itself. */
  path: string
  nth: number
  /** Of the deployment, or `starting`, `idle` (nothing asked yet) and `stopping`. */
  phase: string
  creates: boolean
  /** A `mkdir` of what is there already. */
  existed: boolean
  /** A page written to the database's log in the middle of a commit, with others before and behind it. */
  isMidCommit: boolean
  /** Calls of each name that each thread had made below the state directory before this one. */
  before: Record<'main' | 'pool', Record<string, number>>
}

/** Every call below the state directory, in order. */
export function placesIn(
  calls: readonly Call[],
  story: string,
  stateDir: string,
  tids: { main: number; pool: number },
): Place[] {
  const places: Place[] = []
  const seen = new Map<string, number>()
  const counts: Place['before'] = { main: {}, pool: {} }
  let phase = 'starting'
  for (const call of calls) {
    const mark = call.paths.find((path) => path.startsWith('/godwit-phase/'))
    if (mark !== undefined) phase = mark.slice('/godwit-phase/'.length)
    if (![...changingCalls, ...openingCalls, ...readingCalls].some((name) => name === call.name)) continue
    const paths = [...new Set(call.paths.flatMap((path) => within(stateDir, path) ?? []))]
    if (paths.length === 0) continue
    const thread = call.tid === tids.pool ? 'pool' : 'main'
    const path = addressOf(call.name, paths)
    for (const one of paths) {
      const key = `${thread} ${call.name} ${one}`
      seen.set(key, (seen.get(key) ?? 0) + 1)
    }
    places.push({
      story,
      index: places.length,
      thread,
      call: call.name,
      path,
      nth: seen.get(`${thread} ${call.name} ${path}`)!,
      phase,
      creates: call.flags.includes('O_CREAT'),
      existed: call.existed,
      isMidCommit: false,
      before: structuredClone(counts),
    })
    counts[thread][call.name] = (counts[thread][call.name] ?? 0) + 1
  }
  const log = places.filter((place) => place.path === 'agent.db-wal')
  const writes = (place: Place | undefined) => place?.call === 'pwrite64'
  for (const [i, place] of log.entries())
    place.isMidCommit = writes(log[i - 1]) && writes(place) && writes(log[i + 1])
  return places
}

function within(stateDir: string, path: string): string | undefined {
  const clean = path.replace(/ \(deleted\)$/, '')
  if (clean === stateDir) return '.'
  return clean.startsWith(`${stateDir}/`) ? clean.slice(stateDir.length + 1) : undefined
}

/** A blob is linked to from many places; the place is the name that tells one call from the other. */
function addressOf(call: string, paths: readonly string[]): string {
  return (call === 'link' || call === 'linkat' ? paths.at(-1) : paths[0])!
}

/** What the path is for; the rows of the table. */
export function pathClass(path: string): string {
  const rules: [RegExp, string][] = [
    [/^\.$/, 'state directory'],
    [/^agent\.db$/, 'database'],
    [/^agent\.db-wal$/, 'database log'],
    [/^agent\.db-shm$/, 'database index'],
    [/^agent\.db-journal$/, 'database journal'],
    [/^agent\.lock/, 'lock'],
    [/^runners\.json/, 'runner ledger'],
    [/^device-key\.json/, 'device key'],
    [/^enrolment\.json/, 'enrolment'],
    [/^directive\.json/, 'directive'],
    [/^trust(\/|$)/, 'metadata'],
    [/^slots(\/|$)/, 'pointer'],
    [/^blobs\/.*\.part$/, 'part file'],
    [/^blobs(\/|$)/, 'blob'],
    [/^releases(\/|$)/, 'staged release'],
  ]
  return rules.find(([rule]) => rule.test(path))?.[1] ?? 'other'
}

export const faults = ['KILL', 'EIO', 'ENOSPC'] as const
export type Fault = (typeof faults)[number]

/** One harm at one place. */
export type Cell = { place: Place; fault: Fault; engine: Engine }

/** What a disk without room refuses. Removing and reading it never does; a name in a directory may need a block. */
export const refusedWhenFull = [
  ...['write', 'pwrite64', 'writev', 'pwritev', 'ftruncate', 'fallocate', 'copy_file_range'],
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'mkdir', 'mkdirat'],
]

/**
 * A commit that fails in its first, its last or any other page is a commit that failed, as far as the process that goes
 * on can tell; killing is done at every one.
 */
export function isDistinct(fault: Fault, place: Place): boolean {
  return fault === 'KILL' || !place.isMidCommit
}

/** Whether this harm can befall this call. Killed before a call that changes nothing is killed a call later. */
export function canBefall(fault: Fault, place: Place): boolean {
  const opens = openingCalls.some((name) => name === place.call)
  const reads = readingCalls.some((name) => name === place.call)
  if (fault === 'KILL') return !reads && (!opens || place.creates) && !place.existed
  if (fault === 'ENOSPC') return refusedWhenFull.includes(place.call) && !place.existed
  return true
}
