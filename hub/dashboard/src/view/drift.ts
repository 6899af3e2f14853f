import type { DriftVerdict, DriftWords, FeatureVerdict, Maybe } from '../api.ts'
import { msOf, number, plural, unknown } from './format.ts'
import { signOf } from './words.ts'

/**
 * How far the evidence has come on the way to its threshold, 0..1, on the scale of its logarithm: evidence is an odds
 * ratio, so 5 is half the way to 25. Evidence of 1 or less says nothing.
 */
export function shareOf(evidence: Maybe<number>, threshold: Maybe<number>): number | undefined {
  if (typeof evidence !== 'number' || typeof threshold !== 'number' || threshold <= 1) return undefined
  if (evidence <= 1) return 0
  return Math.min(1, Math.log(evidence) / Math.log(threshold))
}

export type Heat = {
  key: string
  model: string
  version: string
  threshold: Maybe<number>
  features: string[]
  rows: { deviceId: string; slot: string; verdict: DriftVerdict; cells: (FeatureVerdict | undefined)[] }[]
}

/** One heat map per release: another release has other features and another reference. Worst device first. */
export function heatOf(verdicts: readonly DriftVerdict[]): Heat[] {
  const releases = new Map<string, DriftVerdict[]>()
  for (const verdict of verdicts) {
    const key = verdict.releaseDigest ?? `${verdict.model}@${verdict.version}`
    releases.set(key, [...(releases.get(key) ?? []), verdict])
  }
  return [...releases].map(([key, of]) => heatOfRelease(key, of)).sort((a, b) => byName(b, a))
}

function heatOfRelease(key: string, verdicts: readonly DriftVerdict[]): Heat {
  const features = [...new Set(verdicts.flatMap((v) => (v.features ?? []).map(({ feature }) => feature)))]
  const rows = verdicts.map((verdict) => ({
    deviceId: verdict.deviceId ?? unknown,
    slot: verdict.slot ?? 'default',
    verdict,
    cells: features.map((name) => verdict.features?.find(({ feature }) => feature === name)),
  }))
  rows.sort((a, b) => peakOf(b.verdict) - peakOf(a.verdict) || a.deviceId.localeCompare(b.deviceId))
  const [first] = verdicts
  return {
    key,
    model: first?.model ?? unknown,
    version: first?.version ?? unknown,
    threshold: first?.threshold,
    features,
    rows,
  }
}

function byName(a: Heat, b: Heat): number {
  return a.model.localeCompare(b.model) || a.version.localeCompare(b.version, 'en', { numeric: true })
}

/** Evidence grows without bound while a drift lasts; beyond a thousand its size says nothing that a person needs. */
export function evidenceText(evidence: Maybe<number>): string {
  return typeof evidence === 'number' && evidence > 1000 ? 'over 1,000' : number(evidence)
}

const peakOf = (verdict: DriftVerdict) => verdict.peak ?? verdict.evidence ?? 0

/** What a screen reader says for one cell. */
export function cellLabel(
  deviceId: string,
  verdict: DriftVerdict,
  cell: FeatureVerdict | undefined,
  feature: string,
): string {
  if (!cell) return `${deviceId}, ${feature}: no data`
  const lead = cell.lead ? `, ${cell.lead.statistic} ${cell.lead.direction}` : ''
  return (
    `${deviceId}, ${feature}: ${signOf(cell.state).word}, evidence ${evidenceText(cell.evidence)}, ` +
    `highest ${evidenceText(cell.peak ?? cell.evidence)}, limit ${number(verdict.threshold)}, ${number(verdict.windows)} windows${lead}`
  )
}

/**
 * Splits verdicts on what devices run now from those on releases they have left: an alarm stays once reached, so the
 * past would look like trouble for ever. Where the hub does not say, the release that was heard of last is the current.
 */
export function byTime(verdicts: readonly DriftVerdict[]): { now: DriftVerdict[]; before: DriftVerdict[] } {
  const newest = new Map<string, DriftVerdict>()
  for (const verdict of verdicts) {
    const held = newest.get(placeOf(verdict))
    if (!held || (msOf(verdict.updatedAt) ?? 0) >= (msOf(held.updatedAt) ?? 0))
      newest.set(placeOf(verdict), verdict)
  }
  const isNow = (verdict: DriftVerdict) => verdict.isRunning ?? newest.get(placeOf(verdict)) === verdict
  return { now: verdicts.filter(isNow), before: verdicts.filter((verdict) => !isNow(verdict)) }
}
const placeOf = ({ deviceId, slot }: DriftVerdict) => `${deviceId} ${slot}`

export function alarmsIn(verdicts: readonly DriftVerdict[]): DriftVerdict[] {
  return verdicts.filter(({ state }) => signOf(state).tone === 'bad')
}

export function withWord(verdicts: readonly DriftVerdict[], word: string): number {
  return verdicts.filter(({ state }) => signOf(state).word === word).length
}

/** The page's one sentence. @param words of the whole fleet, when only its worst verdicts are here */
export function driftSentence(verdicts: readonly DriftVerdict[], words?: Maybe<DriftWords>): string {
  if (verdicts.length === 0) return 'Nothing to judge yet: no device has sent drift windows.'
  const { now, before } = byTime(verdicts)
  const alarms = alarmsIn(now)
  const open = words?.['not-enough-data'] ?? withWord(now, 'not enough data')
  const drifting = words?.alarm ?? alarms.length
  const judged = plural(words ? words.alarm + words.quiet + open : now.length, 'device')
  const found =
    drifting > 0
      ? `${drifting} of ${judged} drift: ${namesOf(alarms, drifting)}.`
      : `No drift found on ${judged}.`
  const waiting = open > 0 ? ` For ${open} there is not enough data yet.` : ''
  const past = alarmsIn(before)
  return `${found}${waiting}${past.length > 0 ? ` Before, under releases left since: ${namesOf(past)}.` : ''}`
}

function namesOf(verdicts: readonly DriftVerdict[], total = 0): string {
  const names = [
    ...new Set(verdicts.map(({ deviceId, model, version }) => `${deviceId} on ${model}@${version}`)),
  ]
  const named = names.slice(0, 3)
  const more = Math.max(names.length, total) - named.length
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '')
}
