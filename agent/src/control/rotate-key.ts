import { existsSync, rmSync } from 'node:fs'
import { Fault } from '@godwit/protocol/fault'
import { sealKeyRotation } from '@godwit/protocol/messages/key-rotation'
import type { TrustedTime } from './clock.ts'
import { syncDirectory, writeDurably } from './files.ts'
import { httpHeaders, isPassing, postJson } from './hub-http.ts'
import { type DeviceKey, type Identity, keyAt, writeKey } from './identity.ts'
import type { Paths } from './paths.ts'

/** For an agent that runs: it rotates at the next chance, and after a power cut it still knows that it was asked. */
export function askForRotation(paths: Paths): void {
  writeDurably(paths.rotateKeyAsked, '\n')
}

export function isRotationAsked(paths: Paths): boolean {
  return existsSync(paths.rotateKeyAsked)
}

export type RotationDeps = { fetch: typeof fetch; time: TrustedTime }

/**
 * Takes another device key (SPEC 3.6). Both keys are on the disk before the hub hears of the new one, so that a power cut
 * at any point leaves a device that the hub knows by one of them; repeated, it ends what was begun.
 *
 * @throws Fault `hub-unreachable` when it should be tried again, `rotation-refused` when the hub says no
 */
export async function rotateKey(paths: Paths, identity: Identity, deps: RotationDeps): Promise<DeviceKey> {
  const next = keyAt(paths.nextDeviceKey)
  // The power went while tidying up: the hub has it, and so has this device.
  if (next.keyid === identity.keyid) return tidied(paths, next)
  const renewed: Identity = { ...identity, ...next }
  // The old key opens nothing once the hub has taken the new one: then only its answer was lost.
  const isDone = (await ask(identity, identity, next, deps)) || (await ask(renewed, identity, next, deps))
  if (!isDone)
    throw new Fault('rotation-refused', 'the hub accepts neither the old nor the new key of this device')
  writeKey(paths.deviceKey, next)
  return tidied(paths, next)
}

/** In this order, each on the disk: a key to come without a wish for one would be taken for the answer to the next wish. */
function tidied(paths: Paths, next: DeviceKey): DeviceKey {
  for (const path of [paths.nextDeviceKey, paths.rotateKeyAsked]) {
    rmSync(path, { force: true })
    syncDirectory(paths.root)
  }
  return next
}

/** @returns false when the hub does not know the caller by that key */
async function ask(
  caller: Identity,
  old: Identity,
  next: DeviceKey,
  { fetch, time }: RotationDeps,
): Promise<boolean> {
  const { fleet, deviceId, httpUrl } = old.enrolment
  const url = new URL(`/api/v1/devices/${encodeURIComponent(deviceId)}/rotate`, httpUrl)
  const body = sealKeyRotation({ fleet, deviceId, issuedAt: time.hubNowMs() }, old.seed, next.seed)
  const headers = httpHeaders(caller, time)
  const answer = await postJson(url, new TextDecoder().decode(body), 'to rotate the key', { fetch, headers })
  if (answer.ok) return true
  if (answer.status === 401) return false
  const code = isPassing(answer) ? 'hub-unreachable' : 'rotation-refused'
  throw new Fault(
    code,
    `the hub answered the key rotation with ${answer.status}: ${answer.text.slice(0, 300)}`,
  )
}
