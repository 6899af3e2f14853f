import { Segment } from '@godwit/protocol/schema'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { wordsNow } from '../../drift/drifting.ts'
import { type DriftKey, driftVerdicts } from '../../drift/verdicts.ts'
import { factorFor } from '../../energy/factor.ts'
import type { Device } from '../../fleet/device.ts'
import { type GapOf, withSlots } from '../../telemetry/around-gaps.ts'
import { completenessOf } from '../../telemetry/completeness.ts'
import { energyView } from '../../telemetry/energy-view.ts'
import { completenessSentence, type GapReason, gapWords } from '../../telemetry/gap-words.ts'
import { type EventKey, eventsOf, type WindowKey, windowsOf } from '../../telemetry/listing.ts'
import { outagesOf, spoolSeen } from '../../telemetry/on-device.ts'
import { type EnergyGroup, type EnergyGrouping, energyBy } from '../../telemetry/rollup.ts'
import { fromCursor, PageQuery, pageOf } from '../listing.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

const DeviceParams = Type.Object({ id: Segment })
const tags = ['telemetry']
const Limit = (standard: number) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: standard }))
const At = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }))

/** What devices sent, what it means, and what of it is missing. */
export const telemetryRoutes: RoutePlugin = (app, { database: { db }, fleet, config }) => {
  const factor = factorFor(config.carbon.zone)

  app.get(
    '/api/v1/devices/:id/windows',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listWindows',
        tags,
        summary: 'Telemetry windows of a device, newest first',
        params: DeviceParams,
        querystring: Type.Object({
          cursor: PageQuery.cursor,
          limit: Limit(50),
          before: At('Epoch milliseconds; windows that end earlier'),
        }),
      },
    },
    async ({ params: { id }, query: { limit = 50, cursor, before } }) => {
      await requireDevice(id)
      const after = windowKeyOf(fromCursor(cursor))
      const rows = await windowsOf(db, { deviceId: id, before, limit: limit + 1, after })
      const page = pageOf(rows, limit, ({ end, session, seq }) => JSON.stringify([end, session, seq]))
      return {
        ...page,
        items: page.items.map(({ start, end, receivedAt, ...window }) => ({
          ...window,
          start: toRfc3339(start),
          end: toRfc3339(end),
          receivedAt: toRfc3339(receivedAt),
        })),
      }
    },
  )

  app.get(
    '/api/v1/devices/:id/completeness',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getCompleteness',
        tags,
        summary: 'Which telemetry of a device is here, which is not, and why',
        params: DeviceParams,
      },
    },
    async ({ params: { id } }) => {
      const { status } = await requireDevice(id)
      const all = await completenessOf(db, id)
      const items: unknown[] = []
      for (const found of all) {
        const { firstAt, lastAt, missing, dropped, ...entry } = await withSlots(db, id, found)
        const times = { firstAt: toRfc3339(firstAt), lastAt: toRfc3339(lastAt) }
        items.push({ ...entry, missing: missing.map(gapView), dropped: dropped.map(gapView), ...times })
      }
      const spool = await spoolSeen(db, id)
      const outages = await outagesOf(db, id)
      return {
        sentence: completenessSentence(all, outages, status),
        items,
        ...(spool && { spool: { ...spool, at: toRfc3339(spool.at) } }),
        outages: outages.map(({ at, ...outage }) => ({ ...outage, at: toRfc3339(at) })),
      }
    },
  )

  app.get(
    '/api/v1/telemetry/events',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listTelemetryEvents',
        tags,
        summary: 'What happened on the devices, newest first',
        querystring: Type.Object({
          cursor: PageQuery.cursor,
          limit: Limit(50),
          kind: Type.Optional(Type.String({ maxLength: 64 })),
          except: Type.Optional(Type.String({ maxLength: 64, description: 'A kind to leave out' })),
          deviceId: Type.Optional(Segment),
        }),
      },
    },
    async ({ query: { limit = 50, cursor, kind, except, deviceId } }) => {
      const rows = await eventsOf(db, {
        kind,
        except,
        deviceId,
        limit: limit + 1,
        after: eventKeyOf(fromCursor(cursor)),
      })
      const page = pageOf(rows, limit, ({ at, deviceId, session, seq }) =>
        JSON.stringify([at, deviceId, session, seq]),
      )
      return {
        ...page,
        items: page.items.map((event) => ({
          ...event,
          at: toRfc3339(event.at),
          receivedAt: toRfc3339(event.receivedAt),
        })),
      }
    },
  )

  app.get(
    '/api/v1/drift',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listDrift',
        tags,
        summary: 'Verdicts, the strongest evidence first, and how many there are on what runs now',
        querystring: Type.Object({
          cursor: PageQuery.cursor,
          limit: Limit(200),
          deviceId: Type.Optional(Segment),
        }),
      },
    },
    async ({ query: { limit = 200, cursor, deviceId } }) => {
      const after = driftKeyOf(fromCursor(cursor))
      const verdicts = await driftVerdicts(db, { limit: limit + 1, deviceId, after })
      const page = pageOf(verdicts, limit, ({ evidence, deviceId, slot, releaseDigest }) =>
        JSON.stringify([evidence, deviceId, slot, releaseDigest]),
      )
      const items = page.items.map((verdict) => ({ ...verdict, updatedAt: toRfc3339(verdict.updatedAt) }))
      return { ...page, items, now: await wordsNow(db) }
    },
  )

  app.get(
    '/api/v1/energy',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getEnergy',
        tags,
        summary: 'Joules and grams of CO2e of the largest groups and of all, with label, coverage and factor',
        querystring: Type.Object({
          groupBy: Type.Optional(Type.String({ enum: ['device', 'model', 'version'] })),
          limit: Limit(200),
          from: At('Epoch milliseconds, by the devices’ clocks'),
          to: At('Epoch milliseconds, exclusive'),
        }),
      },
    },
    async ({ query: { groupBy = 'version', limit = 200, from, to } }) => {
      const groups = await energyBy(db, groupBy as EnergyGrouping, factor, { from, to, largest: limit })
      const [total] = await energyBy(db, 'all', factor, { from, to })
      const items = groups.map(({ key, deviceId, model, version, ...group }: EnergyGroup) => {
        return { key, deviceId, model, version, ...energyView(group) }
      })
      return { items, total: total ? energyView(total) : null, factor }
    },
  )

  async function requireDevice(id: string): Promise<Device> {
    const device = await fleet.device(id)
    if (device) return device
    throw new Refusal('not-found', `no device ${id}`)
  }
}

function gapView<R extends { reason: GapReason }>({ slots, ...range }: GapOf<R>) {
  const times = slots?.map(({ slot, from, to }) => ({
    slot,
    ...(from !== undefined && { from: toRfc3339(from) }),
    ...(to !== undefined && { to: toRfc3339(to) }),
  }))
  return { ...range, because: gapWords[range.reason], ...(times && { slots: times }) }
}

function eventKeyOf(cursor: string | undefined): EventKey | undefined {
  if (cursor === undefined) return undefined
  const [at, deviceId, session, seq] = keyParts(cursor, ['number', 'string', 'string', 'number'])
  return { at: at as number, deviceId: deviceId as string, session: session as string, seq: seq as number }
}

function driftKeyOf(cursor: string | undefined): DriftKey | undefined {
  if (cursor === undefined) return undefined
  const parts = keyParts(cursor, ['number', 'string', 'string', 'string'])
  const [evidence, deviceId, slot, releaseDigest] = parts as [number, string, string, string]
  return { evidence, deviceId, slot, releaseDigest }
}

function windowKeyOf(cursor: string | undefined): WindowKey | undefined {
  if (cursor === undefined) return undefined
  const [end, session, seq] = keyParts(cursor, ['number', 'string', 'number'])
  return { end: end as number, session: session as string, seq: seq as number }
}

/** A cursor is ours, but it comes back from outside. */
function keyParts(cursor: string, types: readonly ('number' | 'string')[]): unknown[] {
  try {
    const parts: unknown = JSON.parse(cursor)
    if (Array.isArray(parts) && parts.length === types.length) {
      if (parts.every((part, i) => typeof part === types[i])) return parts
    }
  } catch {}
  throw new Refusal('validation', 'the cursor is not one that this list gave', {
    errors: [{ parameter: 'cursor', detail: 'must be the nextCursor of an earlier answer' }],
  })
}
