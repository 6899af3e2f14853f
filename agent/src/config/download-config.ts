import Type from 'typebox'
import { closed, Ms } from './terms.ts'

const ClassLimits = Type.Object(
  {
    bytesPerSecondMax: Type.Optional(
      Type.Integer({ minimum: 1_024, description: 'Bytes a second over a link of this class.' }),
    ),
    releaseBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Bytes. A release that needs more is not begun.' }),
    ),
    dayBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Bytes a day (UTC); then downloads wait for the next.' }),
    ),
    monthBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Bytes a month (UTC); then downloads wait for the next.' }),
    ),
  },
  { ...closed, default: {} },
)

export const DownloadSchema = Type.Object(
  {
    via: Type.String({
      enum: ['auto', 'http', 'mqtt'],
      default: 'auto',
      description: '`auto`: over HTTP where the hub offers it, over MQTT where only that gets through.',
    }),
    bytesPerSecondMax: Type.Optional(
      Type.Integer({ minimum: 1_024, description: 'Bytes a second. Absent: as fast as it goes.' }),
    ),
    bytesPerSecondMin: Type.Integer({
      minimum: 0,
      default: 512,
      description: 'Bytes a second over a minute. A source that is slower gives way to the next.',
    }),
    spreadMs: Ms(
      500,
      0,
      'The first byte of a release comes some time within it, and within what the hub asks for on top.',
    ),
    gateways: Type.Array(Type.String({ pattern: '^https?://', maxLength: 512 }), {
      default: [],
      maxItems: 16,
      description:
        'Agents next door with a `gateway`, asked first. What comes from them costs no budget of the link.',
    }),
    mirrors: Type.Array(Type.String({ pattern: '^https?://', maxLength: 512 }), {
      default: [],
      maxItems: 16,
      description:
        'Servers with `/blobs/sha256/…`, asked before the hub. They need no trust and get no token; one wrong block, and one is left aside for an hour.',
    }),
    budget: Type.Object(
      {
        overheadPercent: Type.Integer({
          minimum: 0,
          maximum: 1_000,
          default: 25,
          description:
            'Percent. What a release may take from the link beyond what was missing; then it ends with `budget_bytes`.',
        }),
        overheadBytesMin: Type.Integer({
          minimum: 0,
          default: 262_144,
          description: 'Bytes. The least overhead, for small releases: four blocks.',
        }),
        retriesMax: Type.Integer({
          minimum: 1,
          default: 64,
          description: 'Setbacks of one release that progress has not earned back.',
        }),
      },
      { ...closed, default: {} },
    ),
    metered: ClassLimits,
    unmetered: ClassLimits,
  },
  { ...closed, default: {} },
)

export const GatewaySchema = Type.Optional(
  Type.Object(
    {
      listen: Type.String({
        pattern: '^[A-Za-z0-9.:\\[\\]-]+:\\d{1,5}$',
        description:
          'Address and port, such as `192.168.7.1:8470`. Serves verified blobs to whoever asks: for the local network only.',
      }),
      bytesMax: Type.Integer({
        minimum: 2 ** 20,
        default: 512 * 2 ** 20,
        description: 'Bytes. What it keeps for neighbours beside what this device needs itself.',
      }),
      pullThrough: Type.Boolean({
        default: true,
        description:
          'Fetches for neighbours what it does not hold, if the signed metadata lists it; it counts against the budgets.',
      }),
    },
    closed,
  ),
)
