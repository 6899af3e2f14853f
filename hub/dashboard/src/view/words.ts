import { spaced } from './format.ts'

/** What a state asks of the person who looks. `waiting` is no judgement: nothing is known yet, or nothing is due. */
export type Tone = 'ok' | 'busy' | 'warn' | 'bad' | 'waiting'
export type Sign = { tone: Tone; icon: IconName; word: string }
export type IconName = 'ok' | 'bad' | 'pending' | 'paused' | 'warn' | 'dot' | 'busy'

const icons: Record<Tone, IconName> = { ok: 'ok', busy: 'busy', warn: 'warn', bad: 'bad', waiting: 'dot' }

const tones: Record<Tone, readonly string[]> = {
  ok: [
    'online',
    'succeeded',
    'completed',
    'committed',
    'passed',
    'pass',
    'passing',
    'quiet',
    'updated',
    'complete',
    'done',
    'ok',
    'active',
    'measured',
  ],
  busy: [
    'running',
    'progressing',
    'open',
    'soaking',
    'judging',
    'updating',
    'assigned',
    'checking',
    'downloading',
    'verified',
    'verifying',
    'staged',
    'installing',
    'self_testing',
    'activating',
    'probation',
    'probing',
    'in_flight',
    'in_progress',
    'directed',
    'sent',
    'resuming',
  ],
  warn: [
    'paused',
    'awaiting_approval',
    'degraded',
    'rolling_back',
    'aborting',
    'offline',
    'warning',
    'timed_out',
    'unreached',
    'reduced_functionality',
    'dropped',
    'disconnected',
  ],
  bad: [
    'failed',
    'fail',
    'failing',
    'aborted',
    'rolled_back',
    'refused',
    'alarm',
    'error',
    'critical',
    'missing',
    'revoked',
  ],
  waiting: [
    'pending',
    'waiting',
    'held',
    'inconclusive',
    'draft',
    'scheduled',
    'idle',
    'sleeping',
    'skipped',
    'not_enough_data',
    'inactive',
    'info',
    'superseded',
    'cancelled',
  ],
}
const icon: Record<string, IconName> = {
  paused: 'paused',
  held: 'paused',
  not_enough_data: 'pending',
  inconclusive: 'pending',
  pending: 'pending',
  waiting: 'pending',
  sleeping: 'pending',
}

/** One vocabulary for every state of the API. A state nobody told us about is shown as it is called. */
export function signOf(state: string | null | undefined): Sign {
  const key = (state ?? '').toLowerCase().replace(/[\s-]+/g, '_')
  const tone = (Object.keys(tones) as Tone[]).find((candidate) => tones[candidate].includes(key)) ?? 'waiting'
  return { tone, icon: icon[key] ?? icons[tone], word: key === '' ? 'unknown' : spaced(key) }
}

const severities: Record<string, Tone> = {
  alarm: 'bad',
  error: 'bad',
  critical: 'bad',
  warning: 'warn',
  info: 'waiting',
}
export function toneOfSeverity(severity: string | null | undefined): Tone {
  return severities[(severity ?? '').toLowerCase()] ?? 'warn'
}
