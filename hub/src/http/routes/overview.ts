import { driftVerdicts } from '../../drift/verdicts.ts'
import { factorFor } from '../../energy/factor.ts'
import type { Device } from '../../fleet/device.ts'
import type { Approvers } from '../../rollout/approval.ts'
import { runningDigest } from '../../rollout/create.ts'
import type { StoredRollout } from '../../rollout/rollout-store.ts'
import { verdictSentence } from '../../rollout/sentence.ts'
import type { WaveState } from '../../rollout/wave.ts'
import type { Services } from '../../services.ts'
import { fleetSummary } from '../../telemetry/completeness.ts'
import { energyView } from '../../telemetry/energy-view.ts'
import { energyBy } from '../../telemetry/rollup.ts'
import type { RoutePlugin } from '../route-plugin.ts'

export type Attention = { severity: 'alarm' | 'warning'; text: string; link: string }

/** Many pages ask at the same moment, whenever something changes; one look at the whole fleet serves them all. */
const freshMs = 500

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
  const devices = (await fleet.devices()).filter(({ revokedAt }) => revokedAt === undefined)
  const drifting = await driftingDevices(services, devices)
  const failed = devices.filter(hasFailed)
  const telemetry = await fleetSummary(db)
  const [energy] = await energyBy(db, 'all', factorFor(config.carbon.zone), {})
  const recent = await rollouts.list(undefined, 50)
  const approvers = await rollouts.approvers()
  const withStatus = (status: Device['status']) => devices.filter((device) => device.status === status).length
  return {
    fleet: config.fleet,
    devices: {
      total: devices.length,
      online: withStatus('online'),
      sleeping: withStatus('sleeping'),
      offline: withStatus('offline'),
      drifting: drifting.size,
      failed: failed.length,
    },
    rollouts: { active: rollouts.activeCount() },
    energy: energy ? energyView(energy) : null,
    telemetry,
    versions: versionsIn(devices),
    attention: [
      ...recent.flatMap((stored) => attentionOf(stored, approvers)),
      ...driftAttention(drifting),
      ...failedAttention(failed),
      ...twinAttention(fleet.twins()),
      ...missingAttention(telemetry.missing),
    ],
  }
}

type Drifting = Map<string, { release: string; feature: string }>

/** Only what runs now: the alarm of a release that was replaced is history. */
async function driftingDevices({ database }: Services, devices: readonly Device[]): Promise<Drifting> {
  const byId = new Map(devices.map((device) => [device.id, device]))
  const drifting: Drifting = new Map()
  for (const { deviceId, slot, releaseDigest, state, model, version, lead } of await driftVerdicts(
    database.db,
  )) {
    const device = byId.get(deviceId)
    if (state !== 'alarm' || !device || runningDigest(device, slot) !== releaseDigest) continue
    drifting.set(deviceId, { release: `${model} ${version}`, feature: lead?.feature ?? '' })
  }
  return drifting
}

function hasFailed({ report }: Device): boolean {
  return Object.values(report?.slots ?? {}).some(
    ({ phase }) => phase === 'refused' || phase === 'rolled_back',
  )
}

function versionsIn(devices: readonly Device[]): { model: string; version: string; devices: number }[] {
  const counts = new Map<string, { model: string; version: string; devices: number }>()
  for (const { report } of devices)
    for (const { active } of Object.values(report?.slots ?? {})) {
      if (!active) continue
      const { model, version } = active
      const entry = counts.get(`${model}@${version}`) ?? { model, version, devices: 0 }
      entry.devices++
      counts.set(`${model}@${version}`, entry)
    }
  return [...counts.values()].sort((a, b) => b.devices - a.devices)
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

function driftAttention(drifting: Drifting): Attention[] {
  const releases = new Map<string, string[]>()
  for (const { release, feature } of drifting.values())
    releases.set(release, [...(releases.get(release) ?? []), feature])
  return [...releases].map(([release, features]) => {
    const names = [...new Set(features)].filter(Boolean).join(', ')
    const text = `Drift on ${release}: ${plural(features.length)}${names && `, most in ${names}`}`
    return { severity: 'warning', text, link: '/drift' }
  })
}

function twinAttention(ids: readonly string[]): Attention[] {
  return ids.map((id) => ({
    severity: 'alarm',
    text: `Two devices call themselves ${id}, as after a copied disk: half of what they measure is lost`,
    link: `/devices/${encodeURIComponent(id)}`,
  }))
}

function failedAttention(failed: readonly Device[]): Attention[] {
  if (failed.length === 0) return []
  const named = failed.slice(0, 3).map((device) => {
    const slot = Object.values(device.report?.slots ?? {}).find(
      ({ code }) => code !== undefined && code !== 'ok',
    )
    return `${device.id}${slot?.code ? ` (${slot.code})` : ''}`
  })
  const more = failed.length > 3 ? ` and ${failed.length - 3} more` : ''
  const text = `Last update failed on ${plural(failed.length)}: ${named.join(', ')}${more}`
  return [{ severity: 'warning', text, link: '/devices' }]
}

function missingAttention(missing: number): Attention[] {
  if (missing === 0) return []
  return [{ severity: 'warning', text: `${missing} telemetry records are missing`, link: '/devices' }]
}

function plural(devices: number): string {
  return devices === 1 ? '1 device' : `${devices} devices`
}
