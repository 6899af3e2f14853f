import { resolve } from 'node:path'
import Type, { type Static } from 'typebox'
import type { SourceConfig } from './source.ts'

const closed = { additionalProperties: false }
const kinds = ['replay', 'jsonl', 'csv', 'stdin', 'fifo', 'mqtt', 'http', 'api'] as const

/** Keys of all kinds in one object, so that a mistake is told by its name; which belong to which is the table below. */
export const SourceSchema = Type.Object(
  {
    kind: Type.String({
      enum: [...kinds],
      description:
        '`replay` plays a recording, CSV or JSONL; `jsonl` and `csv` follow a file that grows by a reading a line; `stdin` and `fifo` take JSON lines from a pipe; `mqtt` subscribes; `http` polls; `api` takes what is posted to the `api` of the slot.',
    }),
    path: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'The file of `replay`, `jsonl` and `csv`; the FIFO of `fifo`.',
      }),
    ),
    intervalMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'Milliseconds between two readings of a `replay` or two questions of `http`; 1000 if absent.',
      }),
    ),
    loop: Type.Optional(Type.Boolean({ description: 'A `replay` begins again at its end, for ever.' })),
    url: Type.Optional(
      Type.String({
        pattern: '^(mqtts?|https?)://',
        maxLength: 512,
        description:
          'The broker of `mqtt`, `mqtt://` or `mqtts://`; what `http` asks, `http://` or `https://`.',
      }),
    ),
    topic: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: 'Topic filter of `mqtt`, such as `plant/press-7/+`.',
      }),
    ),
    fields: Type.Optional(
      Type.Unsafe<Record<string, string>>({
        type: 'object',
        additionalProperties: { type: 'string', minLength: 1, maxLength: 256 },
        description:
          'Of `mqtt` and `http`: where a field of the pipeline stands in a message, such as `{ temperature: data.t }`; absent: under its own name.',
      }),
    ),
    at: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        description: 'Of `mqtt` and `http`: where the time of a reading stands; `at` if absent.',
      }),
    ),
    clientId: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_-]{1,64}$',
        description:
          'Of `mqtt`: under which the broker keeps messages for us; `godwit-source-` and the slot if absent.',
      }),
    ),
    username: Type.Optional(Type.String({ description: 'Of `mqtt`.' })),
    passwordFile: Type.Optional(
      Type.String({ minLength: 1, description: 'Of `mqtt`: a file that holds the password.' }),
    ),
    tokenFile: Type.Optional(
      Type.String({ minLength: 1, description: 'Of `http`: a file that holds a bearer token.' }),
    ),
    caFile: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Of `mqtts://` and `https://`: PEM, who may have signed its certificate.',
      }),
    ),
    bufferMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_536,
        description:
          'Readings of `mqtt` and `api` that may wait for the model; 1024 if absent. When more come the oldest are dropped and counted.',
      }),
    ),
  },
  closed,
)
type Given = Static<typeof SourceSchema>
type Key = Exclude<keyof Given, 'kind'>

const keysOf: Record<(typeof kinds)[number], { needed: Key[]; possible: Key[] }> = {
  replay: { needed: ['path'], possible: ['intervalMs', 'loop'] },
  jsonl: { needed: ['path'], possible: [] },
  csv: { needed: ['path'], possible: [] },
  stdin: { needed: [], possible: [] },
  fifo: { needed: ['path'], possible: [] },
  mqtt: {
    needed: ['url', 'topic'],
    possible: ['fields', 'at', 'clientId', 'username', 'passwordFile', 'caFile', 'bufferMax'],
  },
  http: { needed: ['url'], possible: ['intervalMs', 'fields', 'at', 'tokenFile', 'caFile'] },
  api: { needed: [], possible: ['bufferMax'] },
}

/** What the schema cannot say: which keys go together. */
export function mistakesOfSource(source: Given): string[] {
  const { needed, possible } = keysOf[source.kind as (typeof kinds)[number]]
  const given = Object.keys(source).filter((key): key is Key => key !== 'kind')
  const scheme = source.kind === 'mqtt' ? /^mqtts?:/ : /^https?:/
  return [
    ...needed.filter((key) => !given.includes(key)).map((key) => `kind \`${source.kind}\` needs \`${key}\``),
    ...given.filter((key) => !needed.includes(key) && !possible.includes(key)).map(foreign),
    ...(source.url !== undefined && !scheme.test(source.url)
      ? [`\`url\` ${source.url} does not fit kind \`${source.kind}\``]
      : []),
    ...(source.kind === 'http' && source.intervalMs === 0
      ? ['`intervalMs` must be at least 1 for kind `http`']
      : []),
  ]
}

function foreign(key: Key): string {
  const owners = kinds.filter((kind) => [...keysOf[kind].needed, ...keysOf[kind].possible].includes(key))
  return `\`${key}\` belongs to kind ${owners.map((kind) => `\`${kind}\``).join(', ')}`
}

const bufferMaxDefault = 1_024

/** @param directory that relative paths are read from */
export function sourceOf(given: Given, directory: string): SourceConfig {
  const kind = given.kind as (typeof kinds)[number]
  const path = resolve(directory, given.path ?? '')
  const intervalMs = given.intervalMs ?? 1_000
  const bufferMax = given.bufferMax ?? bufferMaxDefault
  const mapping = { fields: given.fields ?? {}, at: given.at ?? 'at' }
  const file = (key: 'passwordFile' | 'tokenFile' | 'caFile') =>
    given[key] === undefined ? {} : { [key]: resolve(directory, given[key]) }
  if (kind === 'stdin') return { kind }
  if (kind === 'api') return { kind, bufferMax }
  if (kind === 'replay') return { kind, path, intervalMs, loop: given.loop ?? false }
  if (kind === 'http') {
    return { kind, url: given.url!, intervalMs, ...mapping, ...file('tokenFile'), ...file('caFile') }
  }
  if (kind !== 'mqtt') return { kind, path }
  const { clientId, username } = given
  const who = { ...(clientId !== undefined && { clientId }), ...(username !== undefined && { username }) }
  const files = { ...file('passwordFile'), ...file('caFile') }
  return { kind, url: given.url!, topic: given.topic!, bufferMax, ...mapping, ...who, ...files }
}
