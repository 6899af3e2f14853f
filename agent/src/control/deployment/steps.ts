import { totalmem } from 'node:os'
import { releaseBytesMax } from '@godwit/protocol/limits'
import type { SlotGoal } from '@godwit/protocol/messages/directive'
import type { Phase } from '@godwit/protocol/phase'
import type { BundleFile, Release } from '@godwit/protocol/release/release'
import type { ResultCode } from '@godwit/protocol/result-code'
import type { TrustedTime } from '../clock.ts'
import type { Downloader } from '../download/download.ts'
import { settleBlob } from '../download/part-file.ts'
import { diskFreeBytes } from '../files.ts'
import type { Paths } from '../paths.ts'
import { codeFor } from '../report.ts'
import type { Serving } from '../serving.ts'
import type { Database } from '../state/database.ts'
import type { Trust } from '../trust/trust.ts'
import { hasVariantFor } from '../variants/pairs.ts'
import type { Deployment, Journal, SlotState } from './journal.ts'
import { noEvidence } from './probation.ts'
import { isStaged, readRelease, stage } from './staging.ts'

/**
 * What a step came to. `wait` is no move: the same step runs again, later or when the world has changed; `counts` says
 * whether it uses up an attempt.
 */
export type Outcome =
  | { signal: 'done' | 'missing'; patch?: Partial<Deployment> }
  | { signal: 'failed'; code: ResultCode; detail: string; isInferred?: true }
  | { signal: 'wait'; code: ResultCode; detail: string; counts: boolean; progressed?: boolean }

export type StepDeps = {
  slot: string
  paths: Paths
  database: Database
  journal: Journal
  trust: Pick<Trust, 'findRelease'>
  downloader: Downloader
  serving: Serving
  time: TrustedTime
  executionProviders: readonly string[]
  /** Highest ONNX opset that the runner's runtime knows; undefined while nobody has said. */
  opsetMax: () => number | undefined
  isLinkUp: () => boolean
  onBytes: (done: number, total: number) => void
}

type Step = (deps: StepDeps, state: SlotState & { goal: SlotGoal }, signal: AbortSignal) => Promise<Outcome>

/** Free space that must remain after an install, for the spool and everybody else on the device. */
const watermarkBytes = 16 * 2 ** 20

const done: Outcome = { signal: 'done' }

function failed(code: ResultCode, detail: string): Outcome {
  return { signal: 'failed', code, detail }
}

/** One function per phase that acts; each may be repeated from the start at any time. */
export const steps: Partial<Record<Phase, Step>> = {
  assigned: async (deps, { goal, active, lastKnownGood }, signal) => {
    const quarantined = deps.journal.quarantinedFor(goal.releaseDigest)
    if (quarantined && !goal.force)
      return failed('quarantined', `this release failed here before with ${quarantined}`)
    if (goal.releaseBytes > releaseBytesMax)
      return failed(
        'malformed',
        `release document of ${goal.releaseBytes} bytes, at most ${releaseBytesMax} allowed`,
      )
    // Going back to what was verified and proven here needs no fresh metadata (5.4): that is when it matters most.
    const isKnown = [active, lastKnownGood].some((known) => known?.releaseDigest === goal.releaseDigest)
    if (!isKnown) {
      const { model, version, releaseDigest, releaseBytes } = goal
      const found = await deps.trust.findRelease(model, version, releaseDigest, releaseBytes)
      // Metadata may be a moment behind the directive, so a refusal is asked again before it is final.
      if (!found.trusted)
        return {
          signal: 'wait',
          code: codeFor(found.because),
          detail: found.detail,
          counts: found.because !== 'absent' || deps.isLinkUp(),
        }
    }
    const document = releaseDocumentFile(goal)
    const over = await deps.downloader.plan(goal, 'document', [document])
    if (over) return failed(over.code, over.detail)
    return fetchFile(deps, goal, document, signal, () => {})
  },

  checking: async (deps, { goal }) => {
    if (!(await settleBlob(deps.paths, releaseDocumentFile(goal), deps.database)))
      return { signal: 'missing' }
    const release = readRelease(deps.paths, goal.releaseDigest)
    if (typeof release === 'string') return failed('malformed', release)
    if (release.model !== goal.model || release.version !== goal.version)
      return failed(
        'malformed',
        `the release calls itself ${release.model} ${release.version}, expected ${goal.model} ${goal.version}`,
      )
    const unfit = unfitness(release, deps)
    if (unfit) return unfit
    const missing = await sumOf(Object.values(release.files), (file) => deps.downloader.missingBytes(file))
    const free = diskFreeBytes(deps.paths.root)
    // Twice: the part file now, and copies where the file system has no links.
    const needed = 2 * missing + watermarkBytes
    if (missing > 0 && free < needed) return failed('no_space', `${free} bytes free, ${needed} needed`)
    return done
  },

  downloading: async (deps, { goal }, signal) => {
    const release = readRelease(deps.paths, goal.releaseDigest)
    if (typeof release === 'string') return { signal: 'missing' }
    const files = [...new Map(Object.values(release.files).map((file) => [file.sha256, file])).values()]
    const over = await deps.downloader.plan(goal, 'bundle', files)
    if (over) return failed(over.code, over.detail)
    const total = files.reduce((sum, file) => sum + file.sizeBytes, 0)
    const before = total - (await sumOf(files, (file) => deps.downloader.missingBytes(file)))
    let count = before
    for (const file of files) {
      const outcome = await fetchFile(deps, goal, file, signal, (bytes) => {
        count += bytes
        deps.onBytes(count, total)
      })
      if (outcome.signal !== 'done')
        return outcome.signal === 'wait' ? { ...outcome, progressed: count > before } : outcome
    }
    return done
  },

  verified: async (deps, { goal }) => {
    const release = readRelease(deps.paths, goal.releaseDigest)
    if (typeof release === 'string') return { signal: 'missing' }
    for (const file of Object.values(release.files)) {
      if (!(await settleBlob(deps.paths, file, deps.database))) return { signal: 'missing' }
    }
    return done
  },

  staged: async (deps, { goal, active, lastKnownGood }) => {
    const release = readRelease(deps.paths, goal.releaseDigest)
    if (typeof release === 'string') return { signal: 'missing' }
    // Never over what a slot may be serving from.
    const inUse = [active, lastKnownGood].some((known) => known?.releaseDigest === goal.releaseDigest)
    if (inUse && isStaged(deps.paths, goal.releaseDigest)) return done
    return stage(deps.paths, goal.releaseDigest, release) ? done : { signal: 'missing' }
  },

  self_testing: async (deps, { goal }, signal) => {
    if (!isStaged(deps.paths, goal.releaseDigest)) return { signal: 'missing' }
    const candidate = await deps.serving.prove(goal.releaseDigest, signal)
    return { signal: 'done', patch: { candidate: { ...candidate, since: deps.time.nowMs() } } }
  },

  activating: async (deps, { goal, deployment, active, lastKnownGood }, signal) => {
    // After a restart the proven candidate's process is gone; another one must prove itself, on this very boot.
    const proven = deps.serving.holdsCandidate(goal.releaseDigest) ? deployment.candidate : undefined
    const candidate = proven ?? {
      ...(await deps.serving.prove(goal.releaseDigest, signal)),
      since: deps.time.nowMs(),
    }
    const fallback = active?.releaseDigest === goal.releaseDigest ? lastKnownGood : active
    const releases = { active: candidate, ...(fallback && { lastKnownGood: fallback }) }
    deps.journal.writeReleases(deps.slot, releases, { ...deployment, candidate, evidence: noEvidence })
    await deps.serving.reconcile()
    // After a power cut behind the swap, the release serves already and the one that proved itself again is not needed.
    await deps.serving.discardCandidate()
    return done
  },

  rolling_back: async (deps, { deployment, active, lastKnownGood }) => {
    // When the swap had not happened yet, there is nothing to take back; writing it again mends the pointer file.
    const swapped = active?.releaseDigest === deployment.bad
    const back = lastKnownGood?.releaseDigest === deployment.bad ? undefined : lastKnownGood
    const releases = swapped
      ? { ...(back && { active: back, lastKnownGood: back }) }
      : { ...(active && { active }), ...(lastKnownGood && { lastKnownGood }) }
    deps.journal.writeReleases(deps.slot, releases, deployment)
    await deps.serving.discardCandidate()
    // Whether the old model starts is the keeper's care from here on; it tries for ever and says so.
    await deps.serving.reconcile().catch(() => {})
    return done
  },
}

/** The release document as a file of one block (SPEC 4.2). */
function releaseDocumentFile(goal: SlotGoal): BundleFile {
  const { releaseDigest: sha256, releaseBytes } = goal
  return { sha256, sizeBytes: releaseBytes, blockBytes: Math.max(1, releaseBytes), blocks: [sha256] }
}

async function fetchFile(
  deps: StepDeps,
  goal: SlotGoal,
  file: BundleFile,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<Outcome> {
  const end = await deps.downloader.fetch(goal, file, signal, onBytes)
  if (end.end === 'complete') return done
  if (end.end === 'failed') return failed(end.code, end.detail)
  // What the hub would not give now it may give after an upload or a restart.
  return { signal: 'wait', code: end.code, detail: end.detail, counts: end.counts && deps.isLinkUp() }
}

/** What this device lacks for the release, as the code that says so. */
function unfitness(release: Release, deps: StepDeps): Outcome | undefined {
  const { arch, memoryBytes, opset } = release.requires
  if (arch && !arch.includes(process.arch))
    return failed(
      'unsupported_arch',
      `this device is ${process.arch}, the release runs on ${arch.join(', ')}`,
    )
  if (!hasVariantFor(release, deps.executionProviders))
    return failed('unsupported_ep', `no variant runs on ${deps.executionProviders.join(', ')}`)
  if (memoryBytes !== undefined && memoryBytes > totalmem())
    return failed(
      'out_of_memory',
      `the release needs ${memoryBytes} bytes of memory, this device has ${totalmem()}`,
    )
  const known = deps.opsetMax()
  const wanted = opset['ai.onnx'] ?? opset[''] ?? 0
  if (known && wanted > known)
    return failed('unsupported_opset', `opset ${wanted}, this runtime knows up to ${known}`)
  return undefined
}

async function sumOf<T>(items: readonly T[], value: (item: T) => Promise<number>): Promise<number> {
  let sum = 0
  for (const item of items) sum += await value(item)
  return sum
}
