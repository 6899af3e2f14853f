import fs, { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { deviceKey, enrol, type Identity, publicKeyHex, ticketOf } from '@godwit/agent/control/identity'
import { pathsIn } from '@godwit/agent/control/paths'
import { askForRotation, isRotationAsked, rotateKey } from '@godwit/agent/control/rotate-key'
import type { EnrolmentAnswer } from '@godwit/protocol/messages/enrolment'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Box, newHub } from '../../hub/support/new-hub.ts'

let box: Box
let directory: string
let identity: Identity
let time: TrustedTime
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  directory = mkdtempSync(join(tmpdir(), 'godwit-rotate-'))
  const { enrolment } = box.hub.services
  const { token } = await enrolment.createJoinToken(
    { labels: {}, uses: 1, expiresInMs: 60_000, deviceId: 'cam' },
    'test',
  )
  const device = deviceKey(pathsIn(directory))
  const answer = (await enrol(pathsIn(directory), device, ticketOf(token), { fetch })) as EnrolmentAnswer
  identity = { ...device, enrolment: answer }
  time = new TrustedTime({ wallMs: () => box.time.now, monotonicMs: () => 0 }, 0, () => {})
})
afterEach(async () => {
  await box.close()
  rmSync(directory, { recursive: true, force: true })
})

const paths = () => pathsIn(directory)
const atHub = async () => (await box.hub.services.fleet.device('cam'))!.publicKey
/** After a power cut: what is on the disk is all there is. */
const restarted = (): Identity => ({ ...deviceKey(paths()), enrolment: identity.enrolment })

test('the hub knows the new key, the device has it, and the old one opens nothing', async () => {
  askForRotation(paths())
  const old = publicKeyHex(identity)
  const next = await rotateKey(paths(), identity, { fetch, time })
  expect(publicKeyHex(next)).not.toBe(old)
  expect(await atHub()).toBe(publicKeyHex(next))
  expect(publicKeyHex(restarted())).toBe(publicKeyHex(next))
  expect(isRotationAsked(paths())).toBe(false)
  const stale = rotateKey(paths(), identity, { fetch, time })
  await expect(stale).rejects.toMatchObject({ code: 'rotation-refused' })
})

/** Each is a moment at which the power goes; the device is started again on what its disk holds. */
const cuts: Record<string, typeof fetch> = {
  'before the hub was asked': () => Promise.reject(new TypeError('power cut')),
  'after the hub took it, before its answer came': async (...request) => {
    await fetch(...request)
    throw new TypeError('power cut')
  },
}
test.each(Object.keys(cuts))(
  'a power cut %s: the next try ends with one key, known to both',
  async (when) => {
    askForRotation(paths())
    const cut = rotateKey(paths(), identity, { fetch: cuts[when]!, time })
    await expect(cut).rejects.toMatchObject({ code: 'hub-unreachable' })
    expect(isRotationAsked(paths())).toBe(true)
    await rotateKey(paths(), restarted(), { fetch, time })
    expect(await atHub()).toBe(publicKeyHex(restarted()))
    expect(isRotationAsked(paths())).toBe(false)
  },
)

const changing = [
  'mkdirSync',
  'openSync',
  'writeSync',
  'fsyncSync',
  'closeSync',
  'renameSync',
  'rmSync',
] as const

/** Runs it until the n-th thing that it does to the disk or asks of the hub; from there on nothing happens any more. */
async function cutBefore(step: number, run: (cutFetch: typeof fetch) => Promise<unknown>): Promise<boolean> {
  let left = step
  let isCut = false
  const stop = () => {
    isCut ||= left-- === 0
    if (isCut) throw new Error('power cut')
  }
  const real = Object.fromEntries(changing.map((name) => [name, fs[name]]))
  for (const name of changing)
    Object.assign(fs, {
      [name]: (...given: unknown[]) => {
        stop()
        return (real[name] as unknown as (...given: unknown[]) => unknown)(...given)
      },
    })
  syncBuiltinESMExports()
  try {
    await run(async (...request) => {
      stop()
      const answer = await fetch(...request)
      stop()
      return answer
    })
    return false
  } catch (error) {
    if (!isCut) throw error
    return true
  } finally {
    Object.assign(fs, real)
    syncBuiltinESMExports()
  }
}

test('a power cut before any step that it takes: started again, the device has one key, and the hub knows it', async () => {
  let step = 0
  for (; ; step++) {
    const before = await atHub()
    askForRotation(paths())
    const isCut = await cutBefore(step, (cutFetch) =>
      rotateKey(paths(), restarted(), { fetch: cutFetch, time }),
    )
    // What its agent does at its next start.
    if (isRotationAsked(paths())) await rotateKey(paths(), restarted(), { fetch, time })
    expect(await atHub(), `cut before step ${step}`).toBe(publicKeyHex(restarted()))
    expect(await atHub(), `cut before step ${step}`).not.toBe(before)
    expect([existsSync(paths().nextDeviceKey), isRotationAsked(paths())]).toEqual([false, false])
    if (!isCut) break
  }
  // Two files written, two removed, one question.
  expect(step).toBeGreaterThan(20)
})

test('a power cut while somebody asks for another key leaves it asked or not asked, and the device as it was', async () => {
  for (let step = 0; ; step++) {
    const isCut = await cutBefore(step, async () => askForRotation(paths()))
    expect(publicKeyHex(restarted())).toBe(await atHub())
    if (!isCut) break
  }
  expect(isRotationAsked(paths())).toBe(true)
})

test('a hub that does not answer now is asked again later, with the same new key', async () => {
  const down: typeof fetch = async () => new Response('busy', { status: 503 })
  await expect(rotateKey(paths(), identity, { fetch: down, time })).rejects.toMatchObject({
    code: 'hub-unreachable',
  })
  await expect(rotateKey(paths(), identity, { fetch: down, time })).rejects.toMatchObject({
    code: 'hub-unreachable',
  })
  const next = await rotateKey(paths(), identity, { fetch, time })
  expect(await atHub()).toBe(publicKeyHex(next))
})
