import { resolve } from 'node:path'
import Type, { type Static } from 'typebox'
import type { ApiLimits } from '../messages.ts'

const address = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/
const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** Where a slot serves the Open Inference Protocol to programs beside it. Absent: nowhere. */
export const ApiSchema = Type.Object(
  {
    listen: Type.Optional(
      Type.String({
        pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9.-]+):\\d{1,5}$',
        description:
          'Address and port, such as `127.0.0.1:8500`. Off loopback only with `remote` and `tokenFile`.',
      }),
    ),
    socket: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 100,
        description: 'Path of a Unix socket, beside or instead; its user and group may ask.',
      }),
    ),
    remote: Type.Optional(
      Type.Boolean({ default: false, description: '`listen` may be an address that other machines reach.' }),
    ),
    tokenFile: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Holds what callers of `listen` must send as a bearer token.',
      }),
    ),
    bodyBytesMax: Type.Optional(
      Type.Integer({
        minimum: 1_024,
        maximum: 2 ** 30,
        default: 8 * 2 ** 20,
        description: 'Bytes. Largest request; four of them may be held at once.',
      }),
    ),
    elementsMax: Type.Optional(
      Type.Integer({ minimum: 1, default: 4_000_000, description: 'Elements of all inputs of a request.' }),
    ),
    queueMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 4_096,
        default: 64,
        description: 'Requests that may wait for their turn; more are refused with 503 at once.',
      }),
    ),
    deadlineMs: Type.Optional(
      Type.Integer({
        minimum: 10,
        default: 10_000,
        description:
          'Milliseconds that a request may wait for its turn, then 504. An inference that began is not cut.',
      }),
    ),
    connectionsMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 4_096,
        default: 128,
        description: 'Connections at once; more are closed.',
      }),
    ),
  },
  { additionalProperties: false },
)
type Given = Static<typeof ApiSchema>

/** Absolute paths, all defaults filled in. */
export type ApiConfig = {
  listen?: { host: string; port: number }
  socket?: string
  tokenFile?: string
  limits: ApiLimits
}

export function mistakesOfApi({ listen, socket, remote, tokenFile }: Given): string[] {
  const mistakes: string[] = []
  if (listen === undefined && socket === undefined) mistakes.push('needs `listen` or `socket`, or both')
  const parts = listen === undefined ? undefined : address.exec(listen)
  if (parts && Number(parts[2]) > 65_535) mistakes.push(`\`listen\`: ${parts[2]} is no port`)
  if (!parts || loopback.test(parts[1]!)) return mistakes
  // Two keys, so that neither a typo in the address nor a token left over opens a device to its network.
  if (remote !== true) mistakes.push(`\`listen\`: ${parts[1]} is not loopback, which needs \`remote: true\``)
  if (tokenFile === undefined)
    mistakes.push(`\`listen\`: ${parts[1]} is not loopback, which needs a \`tokenFile\``)
  return mistakes
}

/** @param directory that relative paths are read from */
export function apiOf(given: Given, directory: string): ApiConfig {
  const parts = given.listen === undefined ? undefined : address.exec(given.listen)
  return {
    ...(parts && { listen: { host: parts[1]!.replace(/^\[|\]$/g, ''), port: Number(parts[2]) } }),
    ...(given.socket !== undefined && { socket: resolve(directory, given.socket) }),
    ...(given.tokenFile !== undefined && { tokenFile: resolve(directory, given.tokenFile) }),
    limits: {
      bodyBytesMax: given.bodyBytesMax ?? 8 * 2 ** 20,
      elementsMax: given.elementsMax ?? 4_000_000,
      queueMax: given.queueMax ?? 64,
      deadlineMs: given.deadlineMs ?? 10_000,
      connectionsMax: given.connectionsMax ?? 128,
    },
  }
}
