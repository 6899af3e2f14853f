import { releaseBytesMax, rootBytesMax, targetsBytesMax } from '@godwit/protocol/limits'
import { Segment, Sha256Hex, VersionName } from '@godwit/protocol/schema'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import Type from 'typebox'
import { signatureBytesMax } from '../../registry/model-signature.ts'
import { teamPattern } from '../../trust/delegations.ts'
import { modelsChanged } from '../../trust/models-changed.ts'
import { mustPublish, whoOf } from '../authentication.ts'
import { Refusal, refusalOf } from '../problem.ts'
import type { App, RoutePlugin } from '../route-plugin.ts'
import { signatureView } from '../views.ts'

const TeamParams = Type.Object({ team: Type.String({ pattern: teamPattern.source }) })
const DigestParams = Type.Object({ hex: Sha256Hex })

/** How a version comes in: blobs, then the release that names them, then the signed targets that list it. */
export const publishingRoutes: RoutePlugin = (app, services) => {
  // Apart from the others, because here bodies stay bytes: what is signed must not be parsed and printed again.
  app.register(async (scope) => {
    scope.removeContentTypeParser('application/json')
    scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
      done(null, body),
    )
    scope.addContentTypeParser('application/octet-stream', (_request, stream, done) => done(null, stream))
    rawRoutes(scope as unknown as App, services)
  })
}

const rawRoutes: RoutePlugin = (app, { blobs, config, registry, repository }) => {
  app.put(
    '/api/v1/blobs/sha256/:hex',
    {
      bodyLimit: config.blobs.sizeBytesMax,
      config: { access: 'publisher' },
      schema: {
        operationId: 'putBlob',
        tags: ['publish'],
        summary: 'Upload a file of a bundle, as a raw stream',
        params: DigestParams,
        consumes: ['application/octet-stream'],
      },
    },
    async (request, reply) => {
      const { hex } = request.params
      const { created, sizeBytes } = await blobs.put(hex, bodyStream(request.body))
      return reply.code(created ? 201 : 200).send({ sha256: hex, sizeBytes })
    },
  )

  app.post(
    '/api/v1/versions',
    {
      bodyLimit: releaseBytesMax,
      config: { access: 'publisher' },
      schema: {
        operationId: 'publishVersion',
        tags: ['publish'],
        summary: 'Enter a release, after every check that the hub can make',
      },
    },
    async (request, reply) => {
      const bytes = bodyBytes(request.body)
      mustPublish(request, [modelIn(bytes)])
      const verdict = await registry.publish(bytes, whoOf(request))
      if (verdict.published) {
        const { model, version, releaseDigest, created } = verdict
        return reply.code(created ? 201 : 200).send({ model, version, releaseDigest, listed: false })
      }
      const { because, mistakes } = verdict
      if (because === 'version-exists')
        throw new Refusal('version-exists', mistakes[0]!.detail, { errors: mistakes })
      const count =
        mistakes.length === 1 ? 'The release has a mistake.' : `The release has ${mistakes.length} mistakes.`
      throw new Refusal('validation', count, { errors: mistakes })
    },
  )

  app.post(
    '/api/v1/models/:model/versions/:version/signatures',
    {
      bodyLimit: signatureBytesMax,
      config: { access: 'publisher' },
      schema: {
        operationId: 'addModelSignature',
        tags: ['publish'],
        summary: 'An OpenSSF model signature over the files of a version, kept beside it',
        params: Type.Object({ model: Segment, version: VersionName }),
      },
    },
    async (request, reply) => {
      const { model, version } = request.params
      mustPublish(request, [model])
      const verdict = await registry.addSignature(model, version, bodyBytes(request.body), whoOf(request))
      if (verdict.added) return reply.code(verdict.created ? 201 : 200).send(signatureView(verdict.signature))
      const { because, detail } = verdict
      if (because === 'unknown_version') throw new Refusal('not-found', detail)
      throw new Refusal('signature-invalid', detail, { reason: because })
    },
  )

  app.get(
    '/api/v1/metadata/targets',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'getTargets', tags: ['trust'], summary: 'The current targets, byte for byte' },
    },
    async (_, reply) => {
      const targets = (await repository.current()).find(({ role }) => role === 'targets')!
      return reply
        .type('application/json')
        .header('cache-control', 'no-cache')
        .send(Buffer.from(targets.bytes))
    },
  )

  app.put(
    '/api/v1/metadata/targets',
    {
      bodyLimit: targetsBytesMax,
      config: { access: 'publisher' },
      schema: {
        operationId: 'putTargets',
        tags: ['trust'],
        summary: 'The next targets, signed by the publishers',
      },
    },
    async (request) => {
      const bytes = bodyBytes(request.body)
      const held = (await repository.current()).find(({ role }) => role === 'targets')!.bytes
      mustPublish(request, modelsChanged(held, bytes))
      const verdict = await repository.acceptTargets(bytes, whoOf(request))
      if (!verdict.trusted) throw refusalOf(verdict)
      return verdict.value
    },
  )

  app.get(
    '/api/v1/metadata/teams/:team',
    {
      config: { access: 'viewer' },
      schema: {
        operationId: 'getTeamTargets',
        tags: ['trust'],
        summary: 'The current targets of a team, byte for byte',
        params: TeamParams,
      },
    },
    async ({ params: { team } }, reply) => {
      const bytes = await repository.delegated(team)
      if (!bytes) throw new Refusal('not-found', `no team ${team} has signed anything yet`)
      return reply.type('application/json').header('cache-control', 'no-cache').send(Buffer.from(bytes))
    },
  )

  app.put(
    '/api/v1/metadata/teams/:team',
    {
      bodyLimit: targetsBytesMax,
      config: { access: 'publisher' },
      schema: {
        operationId: 'putTeamTargets',
        tags: ['trust'],
        summary: 'The next targets of a team, signed by its keys',
        params: TeamParams,
      },
    },
    async (request) => {
      const { team } = request.params
      const bytes = bodyBytes(request.body)
      mustPublish(request, modelsChanged(await repository.delegated(team), bytes))
      const verdict = await repository.acceptDelegated(team, bytes, whoOf(request))
      if (!verdict.trusted) throw refusalOf(verdict)
      return verdict.value
    },
  )

  app.get(
    '/api/v1/metadata/root',
    {
      config: { access: 'viewer' },
      schema: { operationId: 'getRoot', tags: ['trust'], summary: 'The current root, byte for byte' },
    },
    async (_, reply) => {
      const root = (await repository.current()).findLast(({ role }) => role === 'root')!
      return reply.type('application/json').header('cache-control', 'no-cache').send(Buffer.from(root.bytes))
    },
  )

  app.put(
    '/api/v1/metadata/root',
    {
      bodyLimit: rootBytesMax,
      config: { access: 'admin' },
      schema: {
        operationId: 'putRoot',
        tags: ['trust'],
        summary: 'The next root, signed by the old and the new keys',
      },
    },
    async (request) => {
      const verdict = await repository.acceptRoot(bodyBytes(request.body), whoOf(request))
      if (!verdict.trusted) throw refusalOf(verdict)
      return verdict.value
    },
  )
}

/** Before any check: what is no release is refused by those, and a name that is none fits no scope. */
function modelIn(bytes: Uint8Array): string {
  const parsed = parseStrict(bytes)
  const { model } = (parsed.ok ? parsed.value : {}) as { model?: unknown }
  return typeof model === 'string' ? model : ''
}

function bodyBytes(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body
  throw new Refusal('unsupported-media-type', 'expected the document as application/json')
}

function bodyStream(body: unknown): AsyncIterable<Uint8Array> {
  const isStream = typeof body === 'object' && body !== null && Symbol.asyncIterator in body
  if (isStream) return body as AsyncIterable<Uint8Array>
  throw new Refusal('unsupported-media-type', 'expected the file as application/octet-stream')
}
