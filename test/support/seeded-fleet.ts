import { createHash } from 'node:crypto'
import { insertDevice } from '@godwit/hub/store/device-store'
import { buildProfile } from '@godwit/protocol/drift/build-profile'
import { WindowCounters } from '@godwit/protocol/drift/counters'
import type { Report } from '@godwit/protocol/messages/report'
import {
  type Batch,
  batchSigningBytes,
  encodeBatch,
  encodeSealedBatch,
  type WindowRecord,
} from '@godwit/protocol/messages/telemetry'
import { publicKeyOf, sign } from '@godwit/protocol/trust/ed25519'
import { toHex, utf8 } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { ed25519Key, keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import { sql } from 'kysely'
import {
  eventBody,
  fleet,
  goalOf,
  type Known,
  listedVersion,
  plainFiles,
  windowBody,
} from '../hub/mqtt/test-device.ts'
import type { Box } from '../hub/support/new-hub.ts'

export type SeededFleet = { box: Box; v1: Known; v2: Known; devices: SeededDevice[] }
export type SeededDevice = { id: string; seed: Uint8Array; nextSeq: number }
export type SeedOptions = {
  devices: number
  /** Telemetry windows that each device has sent. */
  windows: number
}

const sites = 50
const features = ['pressure', 'flow', 'tilt', 'residual'] as const

/**
 * A fleet that has been at work for a while, put there by the hub's own code: enrolled, with goals and signed directives,
 * births, signed reports, sealed telemetry and verdicts. Every tenth device drifts, every twentieth has refused version 2,
 * every fiftieth is away with a hole in its telemetry. The same in every run but for keys of the hub.
 */
export async function seedFleet(box: Box, { devices: count, windows }: SeedOptions): Promise<SeededFleet> {
  const { database, directives } = box.hub.services
  // What is measured is not how fast the disk can forget nothing.
  await sql`pragma synchronous = off`.execute(database.db)
  const wave = (i: number, offset = 0) => Math.sin(i * 1.7) + ((i * 7_919) % 101) / 101 + offset
  const readings = Array.from({ length: 64 * 40 }, (_, i) => wave(i))
  const profile = buildProfile([Object.fromEntries(features.map((name) => [name, readings]))])
  const withProfile = (byte: number) => ({
    ...plainFiles(byte),
    'profile.json': utf8(JSON.stringify(profile)),
  })
  const v1 = await listedVersion(box, '1', withProfile(1), { profile: 'profile.json' })
  const v2 = await listedVersion(box, '2', withProfile(2), { profile: 'profile.json' })
  const devices = Array.from({ length: count }, (_, i) => seededDevice(i))
  await database.transaction(async (trx) => {
    for (const [i, { id, seed }] of devices.entries()) {
      const labels = { site: `s${i % sites}`, class: ['gateway', 'camera', 'sensor'][i % 3]! }
      await insertDevice(trx, { id, publicKey: toHex(publicKeyOf(seed)), labels, enrolledAt: box.time.now })
    }
  })
  const ids = devices.map(({ id }) => id)
  await directives.setGoal(ids, 'default', goalOf(v1), { who: 'seed' })
  const drifts = [0, 3].map((offset) => windowsAt(v1, profile, wave, offset, windows))
  const live = async (device: SeededDevice, i: number) => {
    await says(box, device, i, v1, v2)
    await sends(box, device, 'window', i % 50 === 0, drifts[i % 10 === 0 ? 1 : 0]!)
    if (i % 4 === 0)
      await sends(box, device, 'event', false, [eventBody({ key: `k${i}`, at: box.time.now + i })])
  }
  // As many at a time as share a commit.
  for (let from = 0; from < count; from += 64)
    await Promise.all(devices.slice(from, from + 64).map((device, i) => live(device, from + i)))
  await sql`pragma synchronous = full`.execute(database.db)
  return { box, v1, v2, devices }
}

export function seededDevice(index: number): SeededDevice {
  const seed = new Uint8Array(createHash('sha256').update(`seeded device ${index}`).digest())
  return { id: `dev-${String(index).padStart(6, '0')}`, seed, nextSeq: 1 }
}

function windowsAt(
  version: Known,
  profile: ReturnType<typeof buildProfile>,
  wave: (i: number, offset: number) => number,
  offset: number,
  count: number,
): WindowRecord[] {
  const counters = new WindowCounters(profile)
  const figures = {
    joules: 2,
    idleShareJoules: 1,
    unattributedJoules: 0,
    coverage: 1,
    sigmaFactor: 2,
    cpuMs: 10,
  }
  const energy = { ...figures, label: 'modelled', source: 'tdp', scope: 'cpu' } as const
  const result: WindowRecord[] = []
  for (let i = 0; result.length < count; i++) {
    const drift = counters.observe(features.map(() => wave(i, offset)))
    const start = 1_000 + 60_000 * result.length
    if (drift) result.push(windowBody(version, { drift: [drift], energy, start, end: start + 60_000 }))
  }
  return result
}

/** Birth, presence and report, as at a connect. */
async function says(box: Box, { id, seed }: SeededDevice, i: number, v1: Known, v2: Known): Promise<void> {
  const { fleet: hubFleet } = box.hub.services
  const at = box.time.now
  const status = i % 50 === 0 ? 'offline' : i % 7 === 0 ? 'sleeping' : 'online'
  await hubFleet.acceptState(id, { status, bootId: `boot-${i}`, connection: 1, at })
  await hubFleet.acceptBirth(id, birthOf(1, at))
  const verdict = await hubFleet.acceptReport(
    id,
    reportOf({ id, seed }, 1, 1, i % 20 === 0 ? v2 : v1, v1, at),
  )
  if (!verdict.trusted) throw new Error(verdict.detail)
}

export function birthOf(connection: number, at: number) {
  const hardware = { model: 'pi', arch: 'arm64', os: 'linux', cores: 4, memoryBytes: 1, diskFreeBytes: 1 }
  const runtime = { name: 'ort', version: '1', executionProviders: ['cpu'], opsetMax: 21 }
  const metadata = { root: 1, timestamp: 1, snapshot: 1, targets: 1 }
  const bare = { bootId: 'boot', connection, at, agentVersion: '1', slots: {}, directiveVersion: 0 }
  return { ...bare, hardware, runtime, metadata }
}

/** It was told `target` and runs `runs`: committed where they are the same, refused where not. */
export function reportOf(
  { id, seed }: Pick<SeededDevice, 'id' | 'seed'>,
  reportVersion: number,
  directiveVersion: number,
  target: Pick<Known, 'ref'>,
  runs: Pick<Known, 'ref'>,
  at: number,
): Uint8Array {
  const isDone = target === runs
  const active = {
    ...{ ...runs.ref, variant: 'fp32', since: at, executionProvider: 'cpu' },
    ...{ loadedDigest: 'a'.repeat(64), proof: 'b'.repeat(64) },
  }
  const document: Report = {
    ...{ _type: 'report', specVersion: 1, fleet, deviceId: id, session: 'session-1' },
    ...{ reportVersion, directiveVersion, at },
    slots: {
      default: {
        phase: isDone ? 'committed' : 'refused',
        code: isDone ? 'ok' : 'selftest_accuracy',
        ...{ target: target.ref, attempt: 1, answered: directiveVersion, active },
      },
    },
    quarantine: [],
    free: { diskBytes: 1, memoryBytes: 1 },
    clock: { floor: 0 },
  }
  return encodeEnvelope(signDocument(document, seed, keyOfSeed(seed)))
}

/** @param hasHole the second record is lost on the way */
async function sends(
  box: Box,
  device: SeededDevice,
  stream: 'window' | 'event',
  hasHole: boolean,
  bodies: readonly unknown[],
): Promise<void> {
  const records = bodies.map((body, i) => ({ seq: i + 1, body })).filter(({ seq }) => !(hasHole && seq === 2))
  if (stream === 'window') device.nextSeq = bodies.length + 1
  const receipt = await box.hub.services.telemetry.receive(
    device.id,
    stream,
    seal(device, { stream, records }),
  )
  if (!receipt.ok) throw new Error(receipt.detail)
}

export function seal(
  { id, seed }: Pick<SeededDevice, 'id' | 'seed'>,
  batch: Pick<Batch, 'stream' | 'records'> & Partial<Batch>,
): Uint8Array {
  const bare = { v: 1 as const, fleet, deviceId: id, session: 'session-1', base: 1, dropped: [] }
  const payload = encodeBatch({ ...bare, ...batch })
  const keyid = keyIdOf(ed25519Key(publicKeyOf(seed)))
  return encodeSealedBatch({ payload, keyid, sig: sign(seed, batchSigningBytes(payload)) })
}
