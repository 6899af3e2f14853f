import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type HubConfig, loadConfig } from '@godwit/hub/config'
import { initialiseHub } from '@godwit/hub/init'
import { type HubKeys, newHubKeys, publicHubKeys } from '@godwit/hub/trust/hub-keys'
import { createHub, type Hub } from '@godwit/hub/wiring'
import { enrolmentProofBytes } from '@godwit/protocol/messages/enrolment'
import { publicKeyOf, sign } from '@godwit/protocol/trust/ed25519'
import { toHex } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope, signatureOver, signDocument } from '@godwit/protocol/trust/envelope'
import { type Key, keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import { type Root, specVersion, type TargetFile, type Targets } from '@godwit/protocol/trust/metadata'

/** A seed that is the same in every run: byte 32 times. */
export const seedOf = (byte: number) => new Uint8Array(32).fill(byte)
export const rootSeed = seedOf(1)
export const targetsSeed = seedOf(2)

export const startOfTime = Date.parse('2026-11-01T00:00:00Z')
const farAway = '2036-01-01T00:00:00Z'

/** The publishers' side: root and targets with keys that the hub never sees. */
export function rootDocument(hubKeys: HubKeys, change: Partial<Root> = {}): Root {
  const online = publicHubKeys(hubKeys)
  const keys = { root: keyOfSeed(rootSeed), targets: keyOfSeed(targetsSeed), ...online }
  return {
    _type: 'root',
    spec_version: specVersion,
    version: 1,
    expires: farAway,
    consistent_snapshot: true,
    keys: Object.fromEntries(Object.values<Key>(keys).map((key) => [keyIdOf(key), key])),
    roles: Object.fromEntries(
      Object.entries<Key>(keys).map(([role, key]) => [role, { keyids: [keyIdOf(key)], threshold: 1 }]),
    ),
    ...change,
  }
}

export function signedRoot(root: Root, ...seeds: Uint8Array[]): Uint8Array {
  const signatures = (seeds.length > 0 ? seeds : [rootSeed]).map((seed) =>
    signatureOver(root, seed, keyOfSeed(seed)),
  )
  return encodeEnvelope({ signed: root, signatures })
}

export function signedTargets(
  version: number,
  targets: Record<string, TargetFile> = {},
  { seed = targetsSeed, ...change }: Partial<Targets> & { seed?: Uint8Array } = {},
): Uint8Array {
  const document: Targets = {
    _type: 'targets',
    spec_version: specVersion,
    version,
    expires: farAway,
    targets,
    ...change,
  }
  return encodeEnvelope(signDocument(document, seed, keyOfSeed(seed)))
}

export type Box = {
  hub: Hub
  config: HubConfig
  hubKeys: HubKeys
  stateDir: string
  adminToken: string
  /** The hub's clock; a test turns it. */
  time: { now: number }
  /** Another hub on the same state, as after a restart. */
  again(change?: Record<string, unknown>): Promise<Hub>
  close(): Promise<void>
}

/** A hub on a real database in a directory of its own, that does not listen yet. */
export async function newHub(change: Record<string, unknown> = {}): Promise<Box> {
  const directory = await mkdtemp(join(tmpdir(), 'godwit-hub-'))
  const stateDir = join(directory, 'state')
  const hubKeys = newHubKeys()
  const time = { now: startOfTime }
  const clock = () => time.now
  const root = signedRoot(rootDocument(hubKeys))
  const fleet = 'test-fleet'
  const { adminToken } = await initialiseHub({
    ...{ stateDir, fleet, root, hubKeys },
    targets: signedTargets(1),
    now: time.now,
  })
  const open = (more: Record<string, unknown> = {}) => {
    const quiet = { log: { level: 'silent' }, http: { port: 0 }, mqtt: { port: 0 } }
    return createHub(loadConfig({ fleet, stateDir, ...quiet, ...change, ...more }), { clock })
  }
  const removed = () => rm(directory, { recursive: true, force: true })
  const hub = await open().catch(async (because: unknown) => {
    await removed()
    throw because
  })
  const hubs = [hub]
  return {
    ...{ hub, hubKeys, stateDir, adminToken, time },
    config: hub.services.config,
    async again(more) {
      const next = await open(more)
      hubs.push(next)
      return next
    },
    async close() {
      for (const one of hubs) await one.stop()
      await removed()
    },
  }
}

/** What a device with this key sends to join. */
export function joinRequest(token: string, seed: Uint8Array, deviceId?: string) {
  const request = { token, publicKey: toHex(publicKeyOf(seed)), ...(deviceId !== undefined && { deviceId }) }
  return { ...request, proof: toHex(sign(seed, enrolmentProofBytes(request))) }
}
