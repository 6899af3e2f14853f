import { type DriftingRelease, driftingNow } from '../../drift/drifting.ts'
import { factorFor } from '../../energy/factor.ts'
import type { Approvers } from '../../rollout/approval.ts'
import type { StoredRollout } from '../../rollout/rollout-store.ts'
import { verdictSentence } from '../../rollout/sentence.ts'
import type { WaveState } from '../../rollout/wave.ts'
import type { Services } from '../../services.ts'
import { countVersions, failedDevices } from '../../store/device-slot-store.ts'
import { countDevicesByStatus } from '../../store/device-store.ts'
import { fleetSummary } from '../../telemetry/completeness.ts'
import { energyView } from '../../telemetry/energy-view.ts'
import { energyBy } from '../../telemetry/rollup.ts'
import type { RoutePlugin } from '../route-plugin.ts'

export type Attention = { severity: 'alarm' | 'warning'; text: string; link: string }

/** Many pages ask at the same moment, whenever something changes; one look at the whole fleet serves them all. */
const freshMs = 500

/** Failed devices that are named; the others are counted. */
const failedNamed = 3

/** The five-second page: is anything wrong, is anything moving, what does it cost. */
export const overviewRoutes: RoutePlugin = (app, services) => {
  let last: { at: number; value: Promise<unknown> } | undefined
  app.get(
    '/api/v1/overview',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'getOverview', tags: ['overview'], summary: 'The fleet in one answer' },
    },
    async () => {
      const at = performance.now()
      if (!last || at - last.at > freshMs) {
        const value = overviewOf(services)
        // A failed look is nobody's answer but its own askers'.
        value.catch(() => {
          last = undefined
        })
        last = { at, value }
      }
      return last.value
    },
  )
}

async function overviewOf(services: Services) {
  const { fleet, config, rollouts, database } = services
  const { db } = database
  const counts = await countDevicesByStatus(db)
  const drifting = await driftingNow(db)
  const failed = await failedDevices(db, failedNamed)
  const telemetry = await fleetSummary(db)
  const [energy] = await energyBy(db, 'all', factorFor(config.carbon.zone), {})
  const approvers = await rollouts.approvers()
  return {
    fleet: config.fleet,
    devices: {
      total: counts.online + counts.sleeping + counts.offline,
      ...counts,
      drifting: drifting.devices,
      failed: failed.count,
    },
    rollouts: { active: rollouts.activeCount() },
    energy: energy ? energyView(energy) : null,
    telemetry,
    versions: await countVersions(db),
    attention: [
      ...rollouts.unfinished().flatMap((stored) => attentionOf(stored, approvers)),
      ...drifting.releases.map(driftAttention),
      ...failedAttention(failed),
      ...twinAttention(fleet.twins()),
      ...aheadAttention(await fleet.ahead()),
      ...missingAttention(telemetry.missing),
    ],
  }
}

function attentionOf({ rollout }: StoredRollout, approvers: Approvers): Attention[] {
  const isRunning = rollout.phase === 'running'
  const hasWave = (wanted: WaveState) => isRunning && rollout.waves.some(({ state }) => state === wanted)
  const isWaiting = rollout.phase === 'awaiting_approval' || hasWave('awaiting_approval')
  if (rollout.phase !== 'paused' && !isWaiting && !hasWave('held')) return []
  const text = `Rollout of ${rollout.goal.model} ${rollout.goal.version}: ${verdictSentence(rollout, approvers)}`
  return [
    { severity: rollout.phase === 'paused' ? 'alarm' : 'warning', text, link: `/rollouts/${rollout.id}` },
  ]
}

function driftAttention({ release, devices, features }: DriftingRelease): Attention {
  const names = features.join(', ')
  const text = `Drift on ${release}: ${plural(devices)}${names && `, most in ${names}`}`
  return { severity: 'warning', text, link: '/drift' }
}

function twinAttention(ids: readonly string[]): Attention[] {
  return ids.map((id) => ({
    severity: 'alarm',
    text: `Two devices call themselves ${id}, as after a copied disk: half of what they measure is lost`,
    link: `/devices/${encodeURIComponent(id)}`,
  }))
}

function aheadAttention([first, ...others]: readonly string[]): Attention[] {
  if (first === undefined) return []
  const who = others.length === 0 ? `${first} knows` : `${first} and ${plural(others.length)} more know`
  const text = `${who} newer versions than this hub, as after a restored backup: read "A hub that comes back from a backup"`
  return [{ severity: 'alarm', text, link: `/devices/${encodeURIComponent(first)}` }]
}

function failedAttention({ count, first }: Awaited<ReturnType<typeof failedDevices>>): Attention[] {
  if (count === 0) return []
  const named = first.map(({ id, code }) => `${id}${code ? ` (${code})` : ''}`)
  const more = count > first.length ? ` and ${count - first.length} more` : ''
  const text = `Last update failed on ${plural(count)}: ${named.join(', ')}${more}`
  return [{ severity: 'warning', text, link: '/devices' }]
}

function missingAttention(missing: number): Attention[] {
  if (missing === 0) return []
  return [{ severity: 'warning', text: `${missing} telemetry records are missing`, link: '/devices' }]
}

function plural(devices: number): string {
  return devices === 1 ? '1 device' : `${devices} devices`
}
