import { Bridge } from '@godwit/hub/mqtt/bridge'
import { startBroker } from '@godwit/hub/mqtt/broker'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { targetPathOf } from '@godwit/protocol/release/release'
import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { type Box, newHub, signedTargets } from '../support/new-hub.ts'
import { fleet, goalOf, type Known, listedVersion, plainFiles, TestDevice } from './test-device.ts'

let box: Box
let cam: TestDevice
const others: TestDevice[] = []
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  cam = await TestDevice.enrolled(box, 'cam', 11)
})
afterEach(async () => {
  for (const device of [cam, ...others.splice(0)]) await device.end()
  await box.close()
})

const retainedMeta = (device: TestDevice) =>
  device.received
    .filter(({ topic, retain, payload }) => topic.includes('/meta/') && retain && payload.length > 0)
    .map(({ topic }) => topic.split('/meta/')[1])

describe('what the hub retains', () => {
  test('is its status, the metadata and the device’s own directive, there for whoever comes', async () => {
    const version = await listedVersion(box, '1', plainFiles(1))
    await box.hub.services.directives.setGoal(['cam'], 'default', goalOf(version), { who: 'test' })
    await (await cam.connect()).subscribeAll()
    await waitFor(() =>
      expect(cam.directive()?.slots['default']?.releaseDigest).toBe(version.ref.releaseDigest),
    )
    await waitFor(() =>
      expect(retainedMeta(cam).sort()).toEqual([
        'root/1',
        expect.stringMatching(/^snapshot\/\d+$/),
        'targets/1',
        'timestamp',
      ]),
    )
    expect(JSON.parse(cam.on(topics.hub(fleet))[0]!)).toMatchObject({
      status: 'online',
      epoch: box.hub.services.epoch,
    })
    const timestamp = (await box.hub.services.repository.current()).find(({ role }) => role === 'timestamp')!
    expect(cam.on(topics.meta(fleet, 'timestamp'))[0]).toBe(new TextDecoder().decode(timestamp.bytes))
  })

  test('is all there again after a restart, under another epoch', async () => {
    const version = await listedVersion(box, '1', plainFiles(1))
    await box.hub.services.directives.setGoal(['cam'], 'default', goalOf(version), { who: 'test' })
    await box.hub.stop()
    const next = await box.again()
    await next.start()
    await cam.connect({}, next.addresses.mqttUrl)
    await cam.subscribeAll()
    await waitFor(() =>
      expect(cam.directive()?.slots['default']?.releaseDigest).toBe(version.ref.releaseDigest),
    )
    await waitFor(() => expect(retainedMeta(cam)).toHaveLength(4))
    expect(JSON.parse(cam.on(topics.hub(fleet))[0]!).epoch).not.toBe(box.hub.services.epoch)
  })

  test('says offline when the hub goes', async () => {
    await (await cam.connect()).subscribeAll()
    await box.hub.stop()
    expect(JSON.parse(cam.on(topics.hub(fleet)).at(-1)!)).toMatchObject({ status: 'offline' })
  })

  test('holds no metadata that has been superseded', async () => {
    const verdict = await box.hub.services.repository.acceptTargets(signedTargets(2), 'test')
    expect(verdict).toMatchObject({ trusted: true })
    await (await cam.connect()).subscribeAll()
    await waitFor(() =>
      expect(retainedMeta(cam).sort()).toEqual([
        'root/1',
        expect.stringMatching(/^snapshot\/\d+$/),
        'targets/2',
        'timestamp',
      ]),
    )
  })
})

describe('a directive', () => {
  test('reaches a connected device at once, and again at every birth', async () => {
    await (await cam.connect()).subscribeAll()
    const version = await listedVersion(box, '1', plainFiles(1))
    await box.hub.services.directives.setGoal(['cam'], 'default', goalOf(version), { who: 'test' })
    await waitFor(() => expect(cam.on(topics.desired(fleet, 'cam'))).toHaveLength(1))
    await cam.publish(topics.birth(fleet, 'cam'), cam.birth(1))
    await waitFor(() => expect(cam.on(topics.desired(fleet, 'cam'))).toHaveLength(2))
    expect((await box.hub.services.fleet.device('cam'))?.birth?.agentVersion).toBe('1')
  })

  test('reaches nobody else', async () => {
    const valve = await TestDevice.enrolled(box, 'valve', 12)
    others.push(valve)
    await (await valve.connect()).subscribeAll()
    await (await cam.connect()).subscribeAll()
    const version = await listedVersion(box, '1', plainFiles(1))
    await box.hub.services.directives.setGoal(['cam'], 'default', goalOf(version), { who: 'test' })
    await waitFor(() => expect(cam.directive()).toBeDefined())
    expect(valve.directive()).toBeUndefined()
  })
})

describe('presence', () => {
  const status = async () => (await box.hub.services.fleet.device('cam'))?.status

  test('follows the device, and its will when the link breaks', async () => {
    const will = {
      topic: topics.state(fleet, 'cam'),
      payload: Buffer.from(cam.state('offline', 1)),
      qos: 1 as const,
      retain: true,
    }
    await cam.connect({ will })
    await cam.publish(topics.state(fleet, 'cam'), cam.state('online', 1), { qos: 1, retain: true })
    expect(await status()).toBe('online')
    cam.client.stream.destroy()
    await waitFor(async () => expect(await status()).toBe('offline'))
  })

  test('is offline when a connection ends without a word', async () => {
    await cam.connect()
    await cam.publish(topics.state(fleet, 'cam'), cam.state('online', 1))
    await cam.end()
    await waitFor(async () => expect(await status()).toBe('offline'))
  })

  test('of a device that was online is not claimed by the next hub', async () => {
    await cam.connect()
    await cam.publish(topics.state(fleet, 'cam'), cam.state('online', 1))
    await box.hub.stop()
    const next = await box.again()
    await next.start()
    expect((await next.services.fleet.device('cam'))?.status).toBe('offline')
  })
})

describe('blocks over MQTT', () => {
  let version: Known
  const files = plainFiles(7)
  const blob = sha256Hex(files['model.onnx'])
  const blocksOf = () => version.release.files['model.onnx']!.blocks

  beforeEach(async () => {
    version = await listedVersion(box, '1', files)
  })

  async function withBlocks(device: TestDevice, blocks: readonly string[], url?: string): Promise<void> {
    await (await device.connect({}, url)).subscribeAll()
    await device.client.subscribeAsync(
      blocks.map((sha256) => topics.block(fleet, sha256)),
      { qos: 0 },
    )
  }

  const request = (blocks: readonly string[], change: Record<string, unknown> = {}) =>
    JSON.stringify({
      blob,
      blockBytes: 4_096,
      blocks: blocks.map((sha256) => ({ index: blocksOf().indexOf(sha256), sha256 })),
      ...change,
    })

  test('are published once for two devices that ask within a moment', async () => {
    // A long moment, so that no slow machine makes two of it.
    const bridge = new Bridge(box.hub.services, { coalesceMs: 2_000 })
    const broker = await startBroker({ host: '127.0.0.1', port: 0 }, bridge)
    await bridge.start(broker)
    const valve = await TestDevice.enrolled(box, 'valve', 12)
    // Subscribed to everything, never asks: it counts what the broker publishes.
    const listener = await TestDevice.enrolled(box, 'listener', 13)
    others.push(valve, listener)
    for (const device of [cam, valve, listener])
      await withBlocks(device, blocksOf(), `mqtt://127.0.0.1:${broker.port}`)
    await Promise.all(
      [cam, valve].map((device) =>
        device.publish(topics.blockRequest(fleet, device.id), request(blocksOf())),
      ),
    )
    for (const device of [cam, valve, listener])
      await waitFor(() => {
        const bytes = blocksOf().map(
          (sha256) => device.received.find(({ topic }) => topic.endsWith(sha256))?.payload ?? Buffer.alloc(0),
        )
        expect(sha256Hex(Buffer.concat(bytes))).toBe(blob)
      })
    for (const sha256 of blocksOf()) expect(listener.on(topics.block(fleet, sha256))).toHaveLength(1)
    await bridge.stop()
    await broker.stop()
  })

  test('come again for a device that asks again for a hole', async () => {
    await withBlocks(cam, blocksOf())
    const [first] = blocksOf()
    await cam.publish(topics.blockRequest(fleet, 'cam'), request([first!]))
    await waitFor(() => expect(cam.on(topics.block(fleet, first!))).toHaveLength(1))
    await cam.publish(topics.blockRequest(fleet, 'cam'), request([first!], { again: true }))
    await waitFor(() => expect(cam.on(topics.block(fleet, first!))).toHaveLength(2))
  })

  test('bring the release document as one block', async () => {
    const { releaseDigest } = version.ref
    await withBlocks(cam, [releaseDigest])
    const ask = {
      blob: releaseDigest,
      blockBytes: version.bytes.length,
      blocks: [{ index: 0, sha256: releaseDigest }],
    }
    await cam.publish(topics.blockRequest(fleet, 'cam'), JSON.stringify(ask))
    await waitFor(() =>
      expect(cam.on(topics.block(fleet, releaseDigest))[0]).toBe(new TextDecoder().decode(version.bytes)),
    )
  })

  test.each([
    ['of a file that no listed release names', { blob: 'e'.repeat(64) }, 'not_listed'],
    ['of another size', { blockBytes: 8_192 }, 'malformed'],
    ['that the file does not have', { blocks: [{ index: 0, sha256: 'f'.repeat(64) }] }, 'malformed'],
    ['beyond the end of the file', { blocks: [{ index: 99, sha256: 'f'.repeat(64) }] }, 'malformed'],
  ])('%s are refused, with the reason', async (_, change, code) => {
    await (await cam.connect()).subscribeAll()
    await cam.publish(topics.blockRequest(fleet, 'cam'), request(blocksOf(), change))
    await waitFor(() =>
      expect(cam.on(topics.blockRefusal(fleet, 'cam')).map((text) => JSON.parse(text).code)).toEqual([code]),
    )
  })

  test('of a version that is taken off the list are refused from then on', async () => {
    await (await cam.connect()).subscribeAll()
    const { releaseDigest, version: name } = version.ref
    const listed = {
      length: version.bytes.length,
      hashes: { sha256: releaseDigest },
      custom: { kind: 'godwit-release/1', model: 'gauge', version: name, releaseCounter: 1 },
    }
    const { repository } = box.hub.services
    expect(
      await repository.acceptTargets(signedTargets(2, { [targetPathOf('gauge', name)]: listed }), 'test'),
    ).toMatchObject({ trusted: true })
    expect(await repository.acceptTargets(signedTargets(3), 'test')).toMatchObject({ trusted: true })
    await cam.publish(topics.blockRequest(fleet, 'cam'), request(blocksOf()))
    await waitFor(() =>
      expect(cam.on(topics.blockRefusal(fleet, 'cam')).map((text) => JSON.parse(text).code)).toEqual([
        'not_listed',
      ]),
    )
  })
})
