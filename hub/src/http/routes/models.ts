import { Segment, VersionName } from '@godwit/protocol/schema'
import Type from 'typebox'
import { devicesRunning } from '../../store/device-slot-store.ts'
import { mustPublish, whoOf } from '../authentication.ts'
import { Refusal } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'
import { modelView, signatureView, versionView } from '../views.ts'

const ModelParams = Type.Object({ model: Segment })
const VersionParams = Type.Object({ model: Segment, version: VersionName })
const AliasParams = Type.Object({ model: Segment, alias: Segment })

/** Models, their versions, and the names that stand for a version. */
export const modelRoutes: RoutePlugin = (app, { registry, database }) => {
  async function detailsOf(name: string) {
    const model = await registry.model(name)
    if (!model) throw new Refusal('not-found', `no model ${name}`)
    const versions = (await registry.versions(name)).map(versionView)
    return { ...modelView(model), versions, aliases: await registry.aliases(name) }
  }

  app.get(
    '/api/v1/models',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'listModels', tags: ['models'], summary: 'Models' },
    },
    async () => ({ items: await Promise.all((await registry.models()).map(({ name }) => detailsOf(name))) }),
  )

  app.post(
    '/api/v1/models',
    {
      config: { access: 'publisher' },
      schema: {
        operationId: 'createModel',
        tags: ['models'],
        summary: 'A new model, without versions',
        body: Type.Object({
          name: Segment,
          description: Type.Optional(Type.String({ maxLength: 4_096, default: '' })),
        }),
      },
    },
    async (request, reply) => {
      const { name, description = '' } = request.body
      mustPublish(request, [name])
      const created = await registry.createModel(name, description, whoOf(request))
      if (!created) throw new Refusal('conflict', `there is a model ${name} already`)
      return reply.code(201).send(await detailsOf(name))
    },
  )

  app.get(
    '/api/v1/models/:model',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'getModel', tags: ['models'], summary: 'One model', params: ModelParams },
    },
    async ({ params: { model } }) => detailsOf(model),
  )

  app.get(
    '/api/v1/models/:model/versions/:version',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getModelVersion',
        tags: ['models'],
        summary: 'One version: its release, and where it runs',
        params: VersionParams,
      },
    },
    async ({ params: { model, version } }) => {
      const found = await registry.version(model, version)
      if (!found) throw new Refusal('not-found', `no version ${version} of ${model}`)
      const release = (await registry.release(model, version))!
      const sizeBytes = Object.values(release.files).reduce((sum, file) => sum + file.sizeBytes, 0)
      const devices = await devicesRunning(database.db, found.releaseDigest)
      const signatures = (await registry.signatures(found.model, found.version)).map(signatureView)
      return { ...versionView(found), sizeBytes, release, devices, signatures }
    },
  )

  app.put(
    '/api/v1/models/:model/aliases/:alias',
    {
      config: { access: 'publisher' },
      schema: {
        operationId: 'setAlias',
        tags: ['models'],
        summary: 'Let a name stand for a version',
        params: AliasParams,
        body: Type.Object({ version: VersionName }),
      },
    },
    async (request) => {
      const { model, alias } = request.params
      const { version } = request.body
      mustPublish(request, [model])
      const isSet = await registry.setAlias(model, alias, version, whoOf(request))
      if (!isSet) throw new Refusal('not-found', `no version ${version} of ${model}`)
      return { model, alias, version }
    },
  )

  app.delete(
    '/api/v1/models/:model/aliases/:alias',
    {
      config: { access: 'publisher' },
      schema: { operationId: 'removeAlias', tags: ['models'], summary: 'Forget a name', params: AliasParams },
    },
    async (request, reply) => {
      const { model, alias } = request.params
      mustPublish(request, [model])
      const isRemoved = await registry.removeAlias(model, alias, whoOf(request))
      if (!isRemoved) throw new Refusal('not-found', `no alias ${alias} of ${model}`)
      return reply.code(204).send()
    },
  )
}
