import { defaultProbation, ProbationPolicy } from '@godwit/protocol/messages/directive'
import { Labels } from '@godwit/protocol/messages/enrolment'
import { Segment, VersionName } from '@godwit/protocol/schema'
import Type from 'typebox'
import { mayAct } from '../../access/role.ts'
import type { Device } from '../../fleet/device.ts'
import { isListed } from '../../registry/model.ts'
import { parseSelector, selects } from '../../rollout/selector.ts'
import { whoOf } from '../authentication.ts'
import { fromCursor, PageQuery, pageOf } from '../listing.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { deviceView } from '../views.ts'

const DeviceParams = Type.Object({ id: Segment })
const SlotParams = Type.Object({ id: Segment, slot: Segment })

/** The devices of the fleet, and what one of them shall hold. */
export const deviceRoutes: RoutePlugin = (
  app,
  { config, fleet, directives, registry, repository, deviceFacets },
) => {
  async function view(device: Device, depth: 'row' | 'full') {
    const facets = await Promise.all(deviceFacets.map((facet) => facet(device.id, depth)))
    const own = deviceView(device, await repository.versions())
    return Object.assign(own, { goals: await directives.goalsOf(device.id) }, ...facets)
  }

  async function known(id: string): Promise<Device> {
    const device = await fleet.device(id)
    if (device) return device
    throw new Refusal('not-found', `no device ${id}`)
  }

  app.get(
    '/api/v1/devices',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'listDevices',
        tags: ['devices'],
        summary: 'Devices in the order of their ids',
        querystring: Type.Object({
          ...PageQuery,
          select: Type.Optional(
            Type.String({ maxLength: 2_048, description: 'Label selector: site in (a,b),!pilot' }),
          ),
        }),
      },
    },
    async ({ query: { limit = 50, cursor, select = '' } }) => {
      const selector = parseSelector(select)
      if (!selector.ok) {
        throw new Refusal('validation', selector.detail, {
          errors: [{ parameter: 'select', detail: selector.detail }],
        })
      }
      const after = fromCursor(cursor) ?? ''
      const isAll = selector.requirements.length === 0
      const span = { after, limit: limit + 1 }
      const found = isAll
        ? await fleet.devices(span)
        : await fleet.devicesThat((device) => selects(selector.requirements, device), span)
      const page = pageOf(found, limit, ({ id }) => id)
      return { ...page, items: await Promise.all(page.items.map((device) => view(device, 'row'))) }
    },
  )

  app.get(
    '/api/v1/devices/:id',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getDevice',
        tags: ['devices'],
        summary: 'All about one device',
        params: DeviceParams,
      },
    },
    async ({ params: { id } }) => view(await known(id), 'full'),
  )

  app.patch(
    '/api/v1/devices/:id',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'updateDevice',
        tags: ['devices'],
        summary: 'Give a device other labels',
        params: DeviceParams,
        body: Type.Object({ labels: Labels }),
      },
    },
    async (request) => {
      const { id } = request.params
      const device = await fleet.setLabels(id, request.body.labels, whoOf(request))
      return view(device ?? (await known(id)), 'full')
    },
  )

  app.post(
    '/api/v1/devices/:id/revoke',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'revokeDevice',
        tags: ['devices'],
        summary: 'Its key opens nothing any more; its record stays',
        params: DeviceParams,
      },
    },
    async (request) => {
      const { id } = request.params
      return view((await fleet.revoke(id, whoOf(request))) ?? (await known(id)), 'full')
    },
  )

  app.put(
    '/api/v1/devices/:id/goals/:slot',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'setGoal',
        tags: ['devices'],
        summary: 'What one slot of one device shall hold, without a rollout',
        params: SlotParams,
        body: Type.Object({
          model: Segment,
          version: VersionName,
          force: Type.Optional(Type.Boolean()),
          probation: Type.Optional(Type.Partial(ProbationPolicy)),
        }),
      },
    },
    async (request) => {
      const { id, slot } = request.params
      const { model, version, force = false, probation } = request.body
      // Or an operator alone could do device by device what takes others' approval for all of them at once.
      if (config.rollouts.approvals > 0 && !mayAct(request.caller!, 'admin'))
        throw new Refusal(
          'forbidden',
          'this hub asks for approvals: make a rollout, of one device if need be',
          {
            reason: 'approvals_needed',
            hint: `godwit rollout create ${model}@${version} --to id=${id}`,
          },
        )
      const device = await known(id)
      if (device.revokedAt !== undefined) throw new Refusal('conflict', `device ${id} is revoked`)
      const found = await registry.version(model, version)
      const goal = await registry.goal(model, version, { ...defaultProbation, ...probation })
      if (!found || !goal) throw new Refusal('not-found', `no version ${version} of ${model}`)
      if (!isListed(found)) {
        const hint = 'The publishers sign for it with `godwit version publish`.'
        throw new Refusal('conflict', `${model} ${version} is not listed by the signed targets`, { hint })
      }
      const versions = await directives.setGoal([id], slot, force ? { ...goal, force } : goal, {
        who: whoOf(request),
      })
      return { deviceId: id, slot, directiveVersion: versions.get(id) }
    },
  )

  app.delete(
    '/api/v1/devices/:id/goals/:slot',
    {
      config: { access: 'operator' },
      schema: {
        operationId: 'removeGoal',
        tags: ['devices'],
        summary: 'The slot shall hold nothing',
        params: SlotParams,
      },
    },
    async (request) => {
      const { id, slot } = request.params
      await known(id)
      const versions = await directives.removeGoal([id], slot, { who: whoOf(request) })
      return { deviceId: id, slot, directiveVersion: versions.get(id) }
    },
  )
}
