import type { ActiveRelease, Device, DriftVerdict, ReleaseRef, SlotReport } from '../api.ts'
import { alarmsIn, byTime, withWord } from './drift.ts'
import { clock, spaced } from './format.ts'
import type { Sign } from './words.ts'
import { signOf } from './words.ts'

export type SlotView = {
  slot: string
  report: SlotReport | undefined
  active: ActiveRelease | undefined
  goal: ReleaseRef | undefined
  /** It runs something else than the hub wants. */
  differs: boolean
}

export function slotsOf(device: Device): SlotView[] {
  const reported = device.report?.slots ?? {}
  const goals = device.goals ?? {}
  const names = [...new Set([...Object.keys(reported), ...Object.keys(goals)])].sort()
  return names.map((slot) => {
    const report = reported[slot]
    const active = report?.active ?? undefined
    const goal = goals[slot]
    return { slot, report, active, goal, differs: goal !== undefined && !isSame(active, goal) }
  })
}

export function isSame(a: ReleaseRef | undefined, b: ReleaseRef): boolean {
  if (a?.releaseDigest && b.releaseDigest) return a.releaseDigest === b.releaseDigest
  return a?.model === b.model && a.version === b.version
}

export function nameOf(release: ReleaseRef): string {
  return `${release.model}@${release.version}`
}

/** What to say first about a device. The link matters most, then what the last deployment came to. */
export function signOfDevice(device: Device): Sign {
  if (device.revokedAt) return signOf('revoked')
  if (device.status !== 'online') return signOf(device.status)
  const phases = slotsOf(device).map(({ report }) => signOf(report?.phase))
  const trouble = phases.find(({ tone }) => tone === 'bad') ?? phases.find(({ tone }) => tone === 'warn')
  if (trouble) return { ...trouble, word: `online, ${trouble.word}` }
  if (phases.some(({ tone }) => tone === 'busy')) return { ...signOf('updating'), word: 'updating' }
  return signOf('online')
}

/** A device's own answer says what runs on it, so its verdicts are told apart by that. */
export function verdictsOf(device: Device): DriftVerdict[] {
  const slots = new Map(slotsOf(device).map(({ slot, active }) => [slot, active]))
  return (device.drift ?? []).map((verdict) => {
    const active = slots.get(verdict.slot ?? 'default')
    const ref = {
      model: verdict.model ?? '',
      version: verdict.version ?? '',
      releaseDigest: verdict.releaseDigest,
    }
    return { ...verdict, isRunning: verdict.isRunning ?? (active !== undefined && isSame(active, ref)) }
  })
}

export function sentenceOf(device: Device): string {
  const parts = [linkSentence(device), ...slotsOf(device).map(slotSentence)]
  const drift = driftSentence(verdictsOf(device))
  return [...parts, ...(drift ? [drift] : [])].join(' ')
}

function linkSentence(device: Device): string {
  if (device.revokedAt) return `Revoked at ${clock(device.revokedAt)}; the hub lets it in no more.`
  if (device.status === 'online') return 'Online.'
  const since = device.lastSeenAt ? `, last seen ${clock(device.lastSeenAt)}` : ', never seen'
  return `${capital(spaced(device.status))}${since}. What follows is as of then.`
}

function slotSentence({ slot, report, active, goal, differs }: SlotView): string {
  const where = slot === 'default' ? '' : ` in slot ${slot}`
  const runs = active
    ? `Runs ${nameOf(active)} (${[active.variant, active.executionProvider].filter(Boolean).join(' on ')})${where}.`
    : `Runs no model${where}.`
  if (!report) return goal ? `${runs} The hub wants ${nameOf(goal)}; no report yet.` : runs
  const code = report.code && report.code !== 'ok' ? `: ${spaced(report.code)}` : ''
  const tone = signOf(report.phase).tone
  if (tone === 'bad' && report.target)
    return `${runs} ${nameOf(report.target)} was ${spaced(report.phase)}${code}.`
  if (tone === 'busy' && report.target)
    return `${runs} ${capital(spaced(report.phase))} ${nameOf(report.target)}${heldUp(report)}.`
  return differs && goal ? `${runs} The hub wants ${nameOf(goal)}${code}.` : runs
}

/** While a deployment runs, its detail says what it waits for: a window, a lock, a battery, the next attempt. */
function heldUp({ detail }: SlotReport): string {
  return detail ? `, held up: ${detail}` : ''
}

function driftSentence(verdicts: readonly DriftVerdict[]): string | undefined {
  const { now } = byTime(verdicts)
  const alarms = alarmsIn(now)
  if (alarms.length > 0) {
    const features = alarms
      .flatMap(({ features }) => features ?? [])
      .filter(({ state }) => signOf(state).tone === 'bad')
    return `Drifts from its reference${features.length > 0 ? ` in ${[...new Set(features.map((f) => f.feature))].join(', ')}` : ''}.`
  }
  if (withWord(now, 'quiet') > 0) return 'No drift found.'
  return now.length > 0 ? 'Not enough data yet to speak of drift.' : undefined
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
