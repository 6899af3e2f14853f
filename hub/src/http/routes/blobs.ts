import { Sha256Hex } from '@godwit/protocol/schema'
import type { FastifyReply } from 'fastify'
import Type from 'typebox'
import type { Blobs } from '../../blobs/blobs.ts'
import { Refusal } from '../problem.ts'
import { parseRange } from '../range.ts'
import type { RoutePlugin } from '../route-plugin.ts'

const params = Type.Object({ hex: Sha256Hex })

/** Files by digest, for devices and for people. What a digest names never changes, so any cache may keep it. */
export const blobRoutes: RoutePlugin = (app, { blobs }) => {
  app.get(
    '/blobs/sha256/:hex',
    {
      config: { access: 'device' },
      // Its own route below: the automatic one would read the whole file to know its length.
      exposeHeadRoute: false,
      schema: {
        operationId: 'getBlob',
        tags: ['blobs'],
        summary: 'A file of a bundle; single ranges are answered with 206',
        params,
      },
    },
    async ({ params: { hex }, headers }, reply) => {
      const size = await describe(blobs, hex, reply)
      const etag = reply.getHeader('etag')
      if (headers['if-none-match'] === etag) return reply.code(304).send()
      // Half of an old file and half of a new one are no file: a range counts only for the one that is known.
      const isSame = headers['if-range'] === undefined || headers['if-range'] === etag
      const range = parseRange(isSame ? headers.range : undefined, size)
      if (range === 'unsatisfiable') {
        reply.header('content-range', `bytes */${size}`)
        throw new Refusal('range-not-satisfiable', `the blob has ${size} bytes, asked for ${headers.range}`)
      }
      if (range === 'whole') return reply.header('content-length', size).send(await blobs.get(hex))
      const { offset, length } = range
      reply.code(206).header('content-range', `bytes ${offset}-${offset + length - 1}/${size}`)
      return reply.header('content-length', length).send(await blobs.get(hex, range))
    },
  )

  app.head(
    '/blobs/sha256/:hex',
    { config: { access: 'device' }, schema: { hide: true, params } },
    async ({ params: { hex } }, reply) => {
      const size = await describe(blobs, hex, reply)
      return reply.header('content-length', size).send()
    },
  )
}

async function describe(blobs: Blobs, hex: string, reply: FastifyReply): Promise<number> {
  const size = await blobs.sizeOf(hex)
  if (size === undefined) throw new Refusal('not-found', `no blob ${hex}`)
  reply
    .header('etag', `"sha256:${hex}"`)
    .header('accept-ranges', 'bytes')
    .header('cache-control', 'private, max-age=31536000, immutable')
    .type('application/octet-stream')
  return size
}
