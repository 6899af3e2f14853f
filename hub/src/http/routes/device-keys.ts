import { CertificateAnswer, CertificateRequest } from '@godwit/protocol/messages/certificate'
import { Segment } from '@godwit/protocol/schema'
import { signableBytes } from '@godwit/protocol/trust/envelope'
import Type from 'typebox'
import { Refusal, refusalOf } from '../problem.ts'
import type { RoutePlugin } from '../route-plugin.ts'

/** Each costs signatures to check; a device does this once a year. */
const seldom = { max: 60, timeWindow: 60_000 }

/** Each is an entry in the audit; a device does this every two months, a site behind one address all at once. */
const rarely = { max: 300, timeWindow: 60_000 }

/** How a device takes another key (SPEC 3.6), and gets a certificate for TLS (SPEC 3.9). */
export const deviceKeyRoutes: RoutePlugin = (app, { keyRotation, deviceCertificates }) => {
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

  app.post(
    '/api/v1/devices/:id/certificate',
    {
      config: { access: 'device', rateLimit: rarely, withoutCertificate: true },
      bodyLimit: 4_096,
      schema: {
        operationId: 'issueDeviceCertificate',
        tags: ['devices'],
        summary: "A device gets a client certificate by this hub's own authority",
        params: Type.Object({ id: Segment }),
        body: CertificateRequest,
        response: { 200: CertificateAnswer },
      },
    },
    async ({ params: { id }, body, device: caller }) => {
      if (caller?.id !== id) throw new Refusal('forbidden', `only ${id} itself gets a certificate`)
      if (!deviceCertificates)
        throw new Refusal('not-found', 'this hub makes no certificates: its `tls.mode` is not hub')
      const verdict = await deviceCertificates.issue(caller, body)
      if (!verdict.trusted) throw refusalOf(verdict)
      return verdict.value
    },
  )
}
