import { readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { initialiseHub } from '@godwit/hub/init'
import { newHubKeys } from '@godwit/hub/trust/hub-keys'
import { afterEach, expect, test } from 'vitest'
import { type Box, newHub, rootDocument, signedRoot, signedTargets, startOfTime } from './support/new-hub.ts'

let box: Box | undefined
afterEach(async () => {
  await box?.close()
  box = undefined
})

test('a new hub starts, says that it is ready, and stops', async () => {
  box = await newHub()
  await box.hub.start()
  const { httpUrl, mqttUrl, setupLink } = box.hub.addresses
  expect(await (await fetch(`${httpUrl}/readyz`)).text()).toBe('ok\n')
  expect(mqttUrl).toMatch(/^mqtt:\/\/127\.0\.0\.1:\d+$/)
  expect(setupLink).toContain(`${httpUrl}/login?setup=1&link=`)
  await box.hub.stop()
  await expect(fetch(`${httpUrl}/livez`)).rejects.toThrow()
  // The token of `init` is an administrator, so this was the only time.
  const next = await box.again()
  await next.start()
  expect(next.addresses.setupLink).toBeUndefined()
})

test('a state directory that belongs to a hub is not made into another one', async () => {
  box = await newHub()
  const hubKeys = newHubKeys()
  const keysBefore = await readFile(join(box.stateDir, 'hub-keys.json'))
  const root = signedRoot(rootDocument(hubKeys))
  const another = {
    stateDir: box.stateDir,
    fleet: 'other',
    root,
    targets: signedTargets(1),
    hubKeys,
    now: startOfTime,
  }
  await expect(initialiseHub(another)).rejects.toMatchObject({ code: 'already-initialised' })
  expect(await readFile(join(box.stateDir, 'hub-keys.json'))).toEqual(keysBefore)
})

test('the keys of a hub are readable by its user alone, and a hub whose keys are not refuses to start', async () => {
  box = await newHub()
  const path = join(box.stateDir, 'hub-keys.json')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  const { chmod } = await import('node:fs/promises')
  await chmod(path, 0o644)
  await expect(box.again()).rejects.toMatchObject({ code: 'keys-exposed' })
})

test('a hub does not start under the name of another fleet', async () => {
  box = await newHub()
  await expect(box.again({ fleet: 'other' })).rejects.toMatchObject({
    code: 'wrong-fleet',
    message: expect.stringContaining('the configuration says other'),
  })
})

test('a hub does not start with keys that its root does not name', async () => {
  box = await newHub()
  const path = join(box.stateDir, 'hub-keys.json')
  const keys = JSON.parse(await readFile(path, 'utf8'))
  await writeFile(path, JSON.stringify({ ...keys, director: '07'.repeat(32) }))
  await expect(box.again()).rejects.toMatchObject({
    code: 'keys-mismatch',
    message: expect.stringContaining('director must name'),
  })
})

test('a database cut in half is named, and left as it is', async () => {
  box = await newHub()
  await box.hub.stop()
  const path = join(box.stateDir, 'hub.db')
  const { size } = await stat(path)
  await truncate(path, Math.floor(size / 2))
  const before = await readFile(path)
  await expect(box.again()).rejects.toMatchObject({
    code: 'store-corrupt',
    message: expect.stringContaining(path),
  })
  expect(await readFile(path)).toEqual(before)
})

test('a port that is taken is named with the key that sets it', async () => {
  box = await newHub()
  await box.hub.start()
  const port = Number(new URL(box.hub.addresses.httpUrl).port)
  const second = await newHub({ http: { port } })
  await expect(second.hub.start()).rejects.toMatchObject({
    code: 'cannot-listen',
    message: expect.stringMatching(new RegExp(`:${port}.*http\\.port`)),
  })
  await second.close()
})

test('a hub stops although a browser speaks MQTT over its HTTP port', async () => {
  box = await newHub()
  await box.hub.start()
  const socket = new WebSocket(`${box.hub.addresses.httpUrl.replace('http', 'ws')}/mqtt`, 'mqtt')
  await new Promise((resolve) => socket.addEventListener('open', resolve))
  const closed = new Promise((resolve) => socket.addEventListener('close', resolve))
  await box.hub.stop()
  await closed
})

test('a part that cannot start takes the whole hub down again, and says why', async () => {
  box = await newHub()
  await box.hub.start()
  const port = Number(new URL(box.hub.addresses.mqttUrl).port)
  const second = await newHub({ mqtt: { port } })
  await expect(second.hub.start()).rejects.toMatchObject({
    code: 'cannot-listen',
    message: expect.stringContaining(`MQTT cannot listen on 127.0.0.1:${port}`),
  })
  await second.close()
})
