import { isAtRest } from './deployment/deployment.ts'
import { collectGarbage } from './deployment/garbage.ts'
import type { Journal } from './deployment/journal.ts'
import type { Downloader } from './download/download.ts'
import { attempt, type Log } from './log.ts'
import type { Medium } from './medium/medium.ts'
import type { Paths } from './paths.ts'
import type { Slot } from './slot.ts'
import type { Database } from './state/database.ts'
import type { Trust } from './trust/trust.ts'

export type TidyDeps = {
  paths: Paths
  database: Database
  journal: Journal
  trust: Trust
  downloader: Downloader
  medium: Medium
  log: Log
}

/**
 * Only when no slot has anything on its way, so that nothing half fetched is taken for rubbish. At every end of a
 * deployment, and again at every start and every minute: a power cut or a bad moment of the disk leaves the rest.
 */
export function tidyUp(slots: readonly Slot[], deps: TidyDeps): void {
  const { paths, database, journal, trust, downloader, medium, log } = deps
  const states = slots.map(({ name }) => journal.read(name))
  if (!states.every(({ deployment }) => isAtRest(deployment.phase))) return
  const kept = slots.map((slot) => slot.kept)
  if (kept.every((digests) => digests !== undefined))
    attempt(log, 'cannot tidy up', () => collectGarbage(paths, database, new Set(kept.flat())))
  attempt(log, 'cannot close the books of a download', () => downloader.forgetPlans())
  const version = trust.directive?.version ?? 0
  if (states.every(({ deployment }) => deployment.directiveVersion >= version))
    attempt(log, 'cannot remove what came from a stick', () => medium.remove())
}
