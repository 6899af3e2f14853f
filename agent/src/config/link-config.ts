import Type from 'typebox'
import { closed, Ms } from './terms.ts'

export const LinkSchema = Type.Object(
  {
    mqttUrl: Type.Optional(
      Type.String({
        pattern: '^(mqtts?|wss?)://',
        description:
          'Instead of the address that the hub gave at enrolment, such as the near end of a tunnel.',
      }),
    ),
    backoffMsMin: Ms(
      1_000,
      1,
      'Before the second try to connect; doubled with every failure, with full jitter.',
    ),
    backoffMsMax: Ms(300_000, 1, 'The longest wait between two tries.'),
    class: Type.String({
      enum: ['unmetered', 'metered'],
      default: 'unmetered',
      description: 'What the link costs, where the two rules below say nothing.',
    }),
    classFile: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Holds `metered` or `unmetered` and comes first; read anew at each look.',
      }),
    ),
    meteredInterfaces: Type.Array(Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,32}\\*?$' }), {
      default: ['wwan*', 'ppp*'],
      maxItems: 32,
      description:
        'The link is metered while the default route leaves by one of these; `*` at the end fits any rest.',
    }),
  },
  { ...closed, default: {} },
)

export const TlsSchema = Type.Object(
  {
    caFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'PEM. Who may have signed the certificate of the hub, and nobody else; absent: the public authorities that Node knows.',
      }),
    ),
    certFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'PEM. The certificate of this device, where the hub asks for one; its common name is the device id.',
      }),
    ),
    keyFile: Type.Optional(
      Type.String({ minLength: 1, description: 'PEM. The private key of that certificate.' }),
    ),
  },
  { ...closed, default: {} },
)
