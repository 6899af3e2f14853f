import { isIP } from 'node:net'
import { checkConfig, configFromEnv, mergeConfig } from '@godwit/protocol/config-check'
import { Fault } from '@godwit/protocol/fault'
import { Segment } from '@godwit/protocol/schema'
import Type, { type Static } from 'typebox'
import { parse, YAMLParseError } from 'yaml'
import { type Role, roles } from './access/role.ts'

const day = 24 * 60 * 60_000
const Port = (standard: number, why: string) =>
  Type.Integer({
    minimum: 0,
    maximum: 65_535,
    default: standard,
    description: `TCP port; 0 takes a free one. ${why}`,
  })
const Url = (why: string) =>
  Type.Optional(Type.String({ pattern: '^[a-z]+://', maxLength: 512, description: why }))
const File = (why: string) => Type.Optional(Type.String({ minLength: 1, description: why }))
const Ms = (standard: number, minimum: number, why: string) =>
  Type.Integer({ minimum, default: standard, description: `Milliseconds. ${why}` })
const closed = { additionalProperties: false, default: {} }

/** Login through a provider that speaks OpenID Connect, beside passwords and links. */
const OidcConfig = Type.Object(
  {
    issuer: Type.String({
      pattern: '^https?://',
      description: 'Address of the provider; http on loopback alone.',
    }),
    clientId: Type.String({ minLength: 1, description: 'What this hub is called there.' }),
    clientSecretFile: File(
      'Holds the secret that goes with it; absent: a public client, which PKCE protects.',
    ),
    label: Type.String({
      default: 'Log in with single sign-on',
      maxLength: 64,
      description: 'What stands on the button.',
    }),
    scopes: Type.String({ default: 'openid profile email', description: 'What is asked of the provider.' }),
    nameClaim: Type.String({
      default: 'preferred_username',
      description: 'Claim that becomes the name; must be unique and stable at the provider.',
    }),
    rolesClaim: Type.String({
      default: 'groups',
      description: 'Claim whose values are looked up in `roles`.',
    }),
    roles: Type.Unsafe<Record<string, Role[]>>({
      type: 'object',
      additionalProperties: { type: 'array', items: { type: 'string', enum: [...roles] }, minItems: 1 },
      minProperties: 1,
      description: 'Value of that claim to roles here. Nobody gets in whose values are not in it.',
    }),
  },
  { additionalProperties: false },
)

/** The whole configuration of a hub: key, unit, default and why. */
export const HubConfig = Type.Object(
  {
    fleet: Type.Intersect([
      Segment,
      Type.String({
        description: 'Name of the fleet; part of every topic and every directive. Cannot change later.',
      }),
    ]),
    stateDir: Type.String({
      minLength: 1,
      description: 'Directory of database, blobs and online keys. The only place that this hub writes to.',
    }),
    http: Type.Object(
      {
        host: Type.String({
          default: '127.0.0.1',
          description: 'Address to listen on; loopback until told otherwise.',
        }),
        port: Port(8080, 'Dashboard, API and blobs.'),
        publicUrl: Url(
          'What devices and browsers call this hub, when a proxy or another name stands between.',
        ),
        trustedProxies: Type.Array(Type.String({ pattern: '^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$' }), {
          maxItems: 32,
          default: [],
          description:
            'Addresses or networks of proxies in front, as 10.0.0.0/8: they are believed about whose request it is.',
        }),
        requestsPerMinuteMax: Type.Integer({
          minimum: 60,
          default: 6_000,
          description: 'Requests a minute from one address, devices apart. Logins have limits of their own.',
        }),
        bodyBytesMax: Type.Integer({
          minimum: 1_024,
          default: 2 ** 20,
          description: 'Bytes. Largest JSON body; blobs have their own limit.',
        }),
      },
      closed,
    ),
    mqtt: Type.Object(
      {
        host: Type.String({ default: '127.0.0.1', description: 'Address to listen on.' }),
        port: Port(1883, 'MQTT over TCP.'),
        publicUrl: Url('What devices call this broker, as mqtt://host:port.'),
      },
      closed,
    ),
    tls: Type.Object(
      {
        mode: Type.String({
          enum: ['off', 'hub', 'files'],
          default: 'off',
          description:
            '`hub`, `files`: HTTP and MQTT speak TLS alone, with certificates that the hub makes and renews itself, or with the one below. `off`: loopback, or a proxy in front.',
        }),
        names: Type.Array(Type.String({ pattern: '^[A-Za-z0-9.:-]{1,253}$' }), {
          maxItems: 32,
          default: [],
          description:
            'For `hub`: more names and addresses that devices call this hub by, besides those of the two `publicUrl` and loopback.',
        }),
        certFile: File('PEM. The certificate of this hub, with its chain behind it.'),
        keyFile: File('PEM. The private key of that certificate.'),
        caFile: File(
          'PEM. For `files`: who may sign the certificates of devices; needed for `clientCertificates`.',
        ),
        clientCertificates: Type.String({
          enum: ['off', 'optional', 'required'],
          default: 'off',
          description:
            '`required`: a device needs a certificate whose common name is its id, besides its token. `optional`: one that comes must be right.',
        }),
        recheckMs: Ms(10_000, 100, 'How soon changed files are noticed; connections that are open go on.'),
      },
      closed,
    ),
    broker: Type.Object(
      {
        webhookSecretFile: File(
          'Holds the secret with which an external broker asks this hub who may do what. Absent: nobody may ask.',
        ),
      },
      closed,
    ),
    blobs: Type.Object(
      {
        sizeBytesMax: Type.Integer({
          minimum: 1,
          default: 2 ** 32,
          description: 'Bytes. Largest file of a bundle; an upload without end would fill the disk.',
        }),
        onnxBytesMax: Type.Integer({
          minimum: 1,
          default: 512 * 2 ** 20,
          description: 'Bytes. Largest model that is opened for its checks; it is held in memory for that.',
        }),
        downloadSpreadMs: Ms(
          0,
          0,
          'Devices begin to fetch over HTTP some time within this, an hour at most. Over MQTT they share, so they need not.',
        ),
      },
      closed,
    ),
    directive: Type.Object(
      {
        expiresMs: Ms(30 * day, 60_000, 'A device that hears nothing for longer installs nothing new.'),
      },
      closed,
    ),
    telemetry: Type.Object(
      {
        windowMs: Ms(60_000, 100, 'Length of a telemetry window, unless a rollout asks for another.'),
        retentionMs: Ms(
          90 * day,
          60_000,
          'How long windows, events and health are kept; sums of windows stay.',
        ),
      },
      closed,
    ),
    metadata: Type.Object(
      {
        timestampExpiresMs: Ms(day, 60_000, 'How long a frozen device believes that nothing is new.'),
        snapshotExpiresMs: Ms(7 * day, 60_000, 'Longer than the timestamp, which names it.'),
        mediumExpiresMsMax: Ms(
          30 * day,
          60_000,
          'How long at most a stick may be taken: so old a view of what is current may reach a device by hand.',
        ),
      },
      closed,
    ),
    carbon: Type.Object(
      {
        zone: Type.String({
          default: 'WORLD',
          maxLength: 32,
          description: 'Grid whose carbon intensity applies.',
        }),
      },
      closed,
    ),
    rollouts: Type.Object(
      {
        approvals: Type.Integer({
          minimum: 0,
          maximum: 100,
          default: 0,
          description:
            'Users besides its creator who must approve a rollout before it starts. A plan may ask for more, not for fewer.',
        }),
      },
      closed,
    ),
    feed: Type.Object({ retentionMs: Ms(day, 60_000, 'How far back a browser may catch up.') }, closed),
    access: Type.Object(
      {
        sessionMs: Ms(7 * day, 60_000, 'How long a browser stays logged in.'),
        loginLinkMs: Ms(15 * 60_000, 1_000, 'How long a login link may lie around.'),
        invitationMs: Ms(3 * day, 60_000, 'How long a person has to choose a password.'),
        tokenMsMax: Ms(
          400 * day,
          60_000,
          'Longest life of an API token; what is asked for beyond it is cut.',
        ),
        oidc: Type.Optional(OidcConfig),
      },
      closed,
    ),
    log: Type.Object(
      {
        level: Type.String({
          enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
          default: 'info',
          description: 'Least severe line that is written to standard error.',
        }),
      },
      closed,
    ),
  },
  { additionalProperties: false },
)
export type HubConfig = Static<typeof HubConfig>

export const envPrefix = 'GODWIT_HUB__'

/**
 * Reads a configuration once: file, then environment, then flags, the later over the earlier.
 * @param source the YAML text of the file, or the values themselves
 * @throws Fault `bad-config` with every mistake in one message
 */
export function loadConfig(
  source: string | Record<string, unknown>,
  env: Record<string, string | undefined> = {},
  flags: Record<string, unknown> = {},
): HubConfig {
  const file = typeof source === 'string' ? parseYaml(source) : source
  const above = mergeConfig(configFromEnv(HubConfig, env, envPrefix), flags)
  const read = checkConfig(HubConfig, mergeConfig(file, above))
  const mistakes = read.ok
    ? [
        ...mistakesOfTls(read.value.tls),
        ...mistakesOfOidc(read.value.access),
        ...read.value.http.trustedProxies.flatMap(mistakesOfProxy),
      ]
    : read.mistakes
  if (read.ok && mistakes.length === 0) return read.value
  throw new Fault(
    'bad-config',
    `the configuration has mistakes:\n${mistakes.map((m) => `  - ${m}`).join('\n')}`,
  )
}

/** What no single key can be blamed for. A hub that was told to ask for certificates must not start without. */
function mistakesOfTls({ mode, certFile, keyFile, caFile, clientCertificates }: HubConfig['tls']): string[] {
  const asks = clientCertificates !== 'off'
  if (mode === 'off') return asks ? ['`tls.clientCertificates` needs `tls.mode` hub or files'] : []
  if (mode === 'hub') {
    const foreign = Object.entries({ certFile, keyFile, caFile }).filter(([, file]) => file !== undefined)
    return foreign.map(([key]) => `\`tls.${key}\` is for \`tls.mode\` files; the hub makes its own`)
  }
  return [
    ...(certFile === undefined || keyFile === undefined
      ? ['`tls.mode` files needs `tls.certFile` and `tls.keyFile`']
      : []),
    ...(asks && caFile === undefined ? ['`tls.clientCertificates` needs `tls.caFile`'] : []),
  ]
}

/** A provider over plain http would hand its users' logins to whoever is on the way. */
function mistakesOfOidc({ oidc }: HubConfig['access']): string[] {
  if (!oidc) return []
  if (!URL.canParse(oidc.issuer))
    return [`\`access.oidc.issuer\`: expected an address, found ${JSON.stringify(oidc.issuer)}`]
  const { protocol, hostname } = new URL(oidc.issuer)
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
  return protocol === 'https:' || isLoopback
    ? []
    : ['`access.oidc.issuer`: expected https, or http on loopback']
}

/** A proxy that is misspelled would silently not be believed, and everybody behind it be one address. */
function mistakesOfProxy(text: string): string[] {
  const [address = '', bits = '0'] = text.split('/')
  const isNetwork = isIP(address) !== 0 && Number(bits) <= (isIP(address) === 4 ? 32 : 128)
  return isNetwork
    ? []
    : [`\`http.trustedProxies\`: expected an address or a network, found ${JSON.stringify(text)}`]
}

function parseYaml(text: string): Record<string, unknown> {
  try {
    const value: unknown = parse(text) ?? {}
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (cause) {
    if (!(cause instanceof YAMLParseError)) throw cause
    throw new Fault('bad-config', `the configuration is no YAML: ${cause.message}`, { cause })
  }
  throw new Fault('bad-config', 'the configuration must be keys and values')
}
