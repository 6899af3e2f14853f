import { Segment } from '@godwit/protocol/schema'
import { toRfc3339 } from '@godwit/protocol/units'
import Type from 'typebox'
import { wordsNow } from '../../drift/drifting.ts'
import { type DriftKey, driftVerdicts } from '../../drift/verdicts.ts'
import { factorFor } from '../../energy/factor.ts'
import { completenessOf } from '../../telemetry/completeness.ts'
import { energyView } from '../../telemetry/energy-view.ts'
import { type EventKey, eventsOf, type WindowKey, windowsOf } from '../../telemetry/listing.ts'
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
      await requireDevice(id)
      const items = (await completenessOf(db, id)).map(({ firstAt, lastAt, ...entry }) => ({
        ...entry,
        firstAt: toRfc3339(firstAt),
        lastAt: toRfc3339(lastAt),
      }))
      return { items }
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
          deviceId: Type.Optional(Segment),
        }),
      },
    },
    async ({ query: { limit = 50, cursor, kind, deviceId } }) => {
      const rows = await eventsOf(db, {
        kind,
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

  async function requireDevice(id: string): Promise<void> {
    if (!(await fleet.device(id))) throw new Refusal('not-found', `no device ${id}`)
  }
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
