import { randomBytes } from 'node:crypto'
import { Fault } from '@godwit/protocol/fault'
import {
  type EnrolmentAnswer,
  type EnrolmentPending,
  type EnrolmentRequest,
  enrolmentAnswer,
  enrolmentPending,
  enrolmentProofBytes,
  type JoinTicket,
  parseJoinToken,
} from '@godwit/protocol/messages/enrolment'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { publicKeyOf, sign } from '@godwit/protocol/trust/ed25519'
import { fromHex, toHex } from '@godwit/protocol/trust/encoding'
import { type Key, keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import { readIfThere, writeDurably } from './files.ts'
import { isPassing, postJson } from './hub-http.ts'
import type { Paths } from './paths.ts'

/** Who this device is. The seed never leaves it. */
export type DeviceKey = { seed: Uint8Array; key: Key; keyid: string }

export type Identity = DeviceKey & { enrolment: EnrolmentAnswer }

/** Made on the device at its first start, readable by its owner alone, and on the disk before anybody hears of it. */
export function deviceKey(paths: Paths): DeviceKey {
  return keyAt(paths.deviceKey)
}

/** The key in that file, made and written before it is answered if there is none. */
export function keyAt(path: string): DeviceKey {
  const found = readIfThere(path)
  if (found) return withSeed(readSeed(found.toString(), path))
  const device = withSeed(new Uint8Array(randomBytes(32)))
  writeKey(path, device)
  return device
}

export function writeKey(path: string, { seed }: DeviceKey): void {
  writeDurably(path, `${JSON.stringify({ format: 'godwit-device-key/1', seed: toHex(seed) })}\n`, 0o600)
}

function withSeed(seed: Uint8Array): DeviceKey {
  const key = keyOfSeed(seed)
  return { seed, key, keyid: keyIdOf(key) }
}

function readSeed(text: string, path: string): Uint8Array {
  try {
    const { format, seed } = JSON.parse(text) as { format?: unknown; seed?: unknown }
    const bytes = format === 'godwit-device-key/1' && typeof seed === 'string' ? fromHex(seed) : undefined
    if (bytes?.length === 32) return bytes
  } catch {}
  // A new key would be a new device, and the hub would go on waiting for the old one: a person decides that.
  throw new Fault(
    'device-key-unreadable',
    `${path} is no godwit-device-key/1 file; restore it or remove it to enrol anew`,
  )
}

export function readEnrolment(paths: Paths): EnrolmentAnswer | undefined {
  const found = readIfThere(paths.enrolment)
  if (!found) return undefined
  const read = enrolmentAnswer.check(parse(found.toString()))
  return read.ok ? read.value : undefined
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** How to join: with a token's secret, or without one as a key that is registered or that somebody will approve. */
export type Ticket = Omit<JoinTicket, 'secret'> & { secret?: string }

/** @throws Fault `join-token-malformed` */
export function ticketOf(joinText: string): Ticket {
  const ticket = parseJoinToken(joinText.trim())
  if (ticket) return ticket
  throw new Fault('join-token-malformed', 'the join token is no text that starts with gwj1_ and decodes')
}

export function publicKeyHex({ seed }: DeviceKey): string {
  return toHex(publicKeyOf(seed))
}

/**
 * Joins the fleet. May be repeated after a crash at any point: the key is on the disk before the hub hears of it, and
 * the hub answers the same key with the same device.
 */
export async function enrol(
  paths: Paths,
  device: DeviceKey,
  ticket: Ticket,
  deps: { fetch: typeof fetch; deviceId?: string | undefined; signal?: AbortSignal },
): Promise<EnrolmentAnswer | EnrolmentPending> {
  const deviceId = deps.deviceId ?? ticket.deviceId
  const request = {
    ...(ticket.secret !== undefined && { token: ticket.secret }),
    publicKey: publicKeyHex(device),
    ...(deviceId !== undefined && { deviceId }),
  }
  const proof = toHex(sign(device.seed, enrolmentProofBytes(request)))
  const answer = await ask(ticket, { ...request, proof }, deps)
  if ('pending' in answer) return answer
  const root = Buffer.from(answer.root, 'base64')
  const found = sha256Hex(root)
  // The token came by the operator's hand, the answer over the network: only the first says whom to trust.
  if (found !== ticket.rootSha256)
    throw new Fault('enrolment-root-wrong', `the hub sent root ${found}, expected ${ticket.rootSha256}`)
  const { ca, ...rest } = answer
  // An authority is believed where the ticket named one: else an answer over plain HTTP could bring its own.
  const kept = ticket.caSha256 !== undefined && ca !== undefined ? answer : rest
  writeDurably(paths.enrolment, `${JSON.stringify(kept)}\n`, 0o600)
  return kept
}

async function ask(
  ticket: Ticket,
  request: EnrolmentRequest,
  deps: { fetch: typeof fetch; signal?: AbortSignal },
): Promise<EnrolmentAnswer | EnrolmentPending> {
  const url = new URL('/api/v1/enrol', ticket.url)
  const answer = await postJson(url, JSON.stringify(request), 'to enrol', deps)
  const { status, text } = answer
  if (!answer.ok) {
    const code = isPassing(answer) ? 'hub-unreachable' : 'enrolment-refused'
    throw new Fault(code, `the hub answered the enrolment with ${status}: ${text.slice(0, 300)}`)
  }
  const read = (status === 202 ? enrolmentPending : enrolmentAnswer).check(parse(text))
  if (!read.ok) throw new Fault('enrolment-answer-malformed', read.detail)
  return read.value as EnrolmentAnswer | EnrolmentPending
}
