import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import Type, { type Static } from 'typebox'
import { closed } from './terms.ts'

export const JoinSchema = Type.Optional(
  Type.Object(
    {
      token: Type.Optional(Type.String({ description: 'Join token; not needed once enrolled.' })),
      tokenFile: Type.Optional(Type.String({ description: 'Instead: a file that holds it.' })),
      hubUrl: Type.Optional(
        Type.String({
          pattern: '^https?://',
          maxLength: 512,
          description:
            'Without a token: the hub that knows this key already, or whose operator will let it in. Needs `rootSha256`.',
        }),
      ),
      rootSha256: Type.Optional(
        Type.String({
          pattern: '^[0-9a-f]{64}$',
          description: 'SHA-256 of the first root document of the fleet: whom this device will believe.',
        }),
      ),
      caSha256: Type.Optional(
        Type.String({
          pattern: '^[0-9a-f]{64}$',
          description:
            "SHA-256 of the certificate of the hub's own authority (`godwit hub ca show`), where it has one.",
        }),
      ),
      deviceId: Type.Optional(
        Type.String({
          pattern: '^[A-Za-z0-9_-]{1,64}$',
          description: 'Asks for this name instead of the one in the token or one that the hub makes up.',
        }),
      ),
    },
    closed,
  ),
)

type Given = Static<typeof JoinSchema> | undefined

export type JoinConfig = {
  token?: string
  deviceId?: string
  hubUrl?: string
  rootSha256?: string
  caSha256?: string
}

export function mistakesOfJoin(join: Given): string[] {
  if (!join) return []
  const { token, tokenFile, hubUrl, rootSha256, caSha256 } = join
  const mistakes: string[] = []
  if (token !== undefined && tokenFile !== undefined)
    mistakes.push('`join` has both `token` and `tokenFile`, expected one')
  if ((hubUrl === undefined) !== (rootSha256 === undefined))
    mistakes.push('`join` has one of `hubUrl` and `rootSha256`, expected both or none')
  if (caSha256 !== undefined && !hubUrl?.startsWith('https:'))
    mistakes.push('`join.caSha256` needs a `join.hubUrl` of https; a join token brings its own')
  return mistakes
}

export function joinOf(join: Given, directory: string): JoinConfig {
  const token = join?.tokenFile === undefined ? join?.token : readToken(resolve(directory, join.tokenFile))
  return {
    ...(token !== undefined && { token }),
    ...(join?.hubUrl !== undefined && { hubUrl: join.hubUrl }),
    ...(join?.rootSha256 !== undefined && { rootSha256: join.rootSha256 }),
    ...(join?.caSha256 !== undefined && { caSha256: join.caSha256 }),
    ...(join?.deviceId !== undefined && { deviceId: join.deviceId }),
  }
}

/** Absent is fine: the file is often removed once the device has joined. */
function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Fault('config-wrong', `cannot read the join token in ${path}`, { cause })
  }
}
