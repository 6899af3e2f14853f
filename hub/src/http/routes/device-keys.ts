import { Segment } from '@godwit/protocol/schema'
import { signableBytes } from '@godwit/protocol/trust/envelope'
import Type from 'typebox'
import { Refusal, refusalOf } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

/** Each costs signatures to check; a device does this once a year. */
const seldom = { max: 60, timeWindow: 60_000 }

/** How a device takes another key (SPEC 3.1). */
export const deviceKeyRoutes: RoutePlugin = (app, { keyRotation }) => {
  app.post(
    '/api/v1/devices/:id/rotate',
    {
      // With a token by the key that it has: the old one, or the new one if the first answer was lost.
      config: { access: 'device', rateLimit: seldom },
      bodyLimit: 16_384,
      schema: {
        operationId: 'rotateDeviceKey',
        tags: ['devices'],
        summary: 'A device takes another key; both sign for it, and the old one opens nothing from then on',
        params: Type.Object({ id: Segment }),
        body: Type.Object({
          signed: Type.Object({}, { additionalProperties: true }),
          signatures: Type.Array(Type.Object({ keyid: Type.String(), sig: Type.String() }), { maxItems: 2 }),
        }),
        response: {
          200: Type.Object({ deviceId: Segment, publicKey: Type.String(), changed: Type.Boolean() }),
        },
      },
    },
    async ({ params: { id }, body, device: caller }) => {
      if (caller?.id !== id) throw new Refusal('forbidden', `only ${id} itself takes another key`)
      const bytes = signableBytes(body)
      if (!bytes.trusted) throw refusalOf(bytes)
      const verdict = await keyRotation.rotate(id, bytes.value)
      if (!verdict.trusted) throw refusalOf(verdict)
      const { device, changed } = verdict.value
      return { deviceId: device.id, publicKey: device.publicKey, changed }
    },
  )
}
