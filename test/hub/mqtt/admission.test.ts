import { once } from 'node:events'
import { connect } from 'node:net'
import { brokerDefaults } from '@godwit/hub/mqtt/broker'
import { FrameMeter } from '@godwit/hub/mqtt/frame-meter'
import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { type Box, newHub, seedOf } from '../support/new-hub.ts'
import { fleet, TestDevice } from './test-device.ts'

let box: Box
let cam: TestDevice
let valve: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  cam = await TestDevice.enrolled(box, 'cam', 11)
  valve = await TestDevice.enrolled(box, 'valve', 12)
})
afterEach(async () => {
  await cam.end()
  await valve.end()
  await box.close()
})

const audited = async () =>
  (await box.hub.services.audit.before(undefined, 100)).map(({ who, action }) => `${who} ${action}`)
const news = async () => (await box.hub.services.feed.after(0, 500)).map(({ data }) => data['kind'])

describe('a connection', () => {
  test('is admitted with the device’s own token', async () => {
    await cam.connect()
    expect(cam.client.connected).toBe(true)
  })

  test.each([
    ['a token by another key', () => ({ password: cam.token('cam', seedOf(99)) })],
    ['another device’s token', () => ({ password: valve.token() })],
    ['another device’s user name', () => ({ username: 'valve' })],
    ['another device’s client id', () => ({ clientId: 'valve' })],
    ['no password', () => ({ password: '' })],
    [
      'a device that is not enrolled',
      () => ({ clientId: 'ghost', username: 'ghost', password: cam.token('ghost') }),
    ],
  ])('with %s is answered "bad user name or password", not silence', async (_, change) => {
    await expect(cam.connect(change())).rejects.toMatchObject({ code: 4 })
  })

  test('without keep-alive is refused, because nobody would notice that it is gone', async () => {
    await expect(cam.connect({ keepalive: 0 })).rejects.toThrow()
  })

  test('that a WebSocket brings passes the same door', async () => {
    const url = `${box.hub.addresses.httpUrl.replace('http', 'ws')}/mqtt`
    await cam.connect({}, url)
    expect(cam.client.connected).toBe(true)
    await expect(valve.connect({ password: cam.token() }, url)).rejects.toMatchObject({ code: 4 })
  })

  test('of a device that is revoked meanwhile is closed, and it does not come back', async () => {
    await cam.connect()
    await box.hub.services.fleet.revoke('cam', 'test')
    await cam.hasClosed()
    await expect(cam.connect()).rejects.toMatchObject({ code: 4 })
  })
})

describe('a device that publishes', () => {
  test.each([
    ['on another device’s topic', topics.state(fleet, 'valve')],
    ['on its own down topics', topics.desired(fleet, 'cam')],
    ['metadata', topics.meta(fleet, 'timestamp')],
    ['on a topic of another fleet', topics.state('other', 'cam')],
    ['where nothing is', 'godwit/1/test-fleet/d/cam/up/else'],
    ['on $SYS', '$SYS/broker/new/clients'],
  ])('%s is thrown out, and that is on record', async (_, topic) => {
    await cam.connect()
    cam.publish(topic, 'x').catch(() => {})
    await cam.hasClosed()
    if (!topic.startsWith('$SYS'))
      await waitFor(async () => expect(await audited()).toContain('device:cam mqtt.refused'))
  })

  test('a retained message where none belongs is thrown out', async () => {
    await cam.connect()
    cam.publish(topics.progress(fleet, 'cam'), '{}', { qos: 1, retain: true }).catch(() => {})
    await cam.hasClosed()
  })

  test('again and again what it must not is recorded once a minute', async () => {
    for (let i = 0; i < 3; i++) {
      await cam.connect()
      cam.publish(topics.state(fleet, 'valve'), 'x').catch(() => {})
      await cam.hasClosed()
    }
    await waitFor(async () => expect(await audited()).toContain('device:cam mqtt.refused'))
    expect((await audited()).filter((line) => line === 'device:cam mqtt.refused')).toHaveLength(1)
  })

  test.each([
    ['no JSON', 'state', 'not json'],
    ['a document of another shape', 'state', '{"status":"asleep"}'],
    [
      'two keys of one name',
      'state',
      '{"status":"online","status":"offline","bootId":"b","connection":1,"at":1}',
    ],
    ['no CBOR', 'telemetry', '\x00\xff\xfe'],
    ['a report by nobody', 'reported', '{"signed":{"_type":"report"},"signatures":[]}'],
    ['a birth without hardware', 'birth', '{}'],
    ['a block request for nothing', 'block', '{"blob":1}'],
  ])('%s (%s) keeps its connection, changes nothing, and is told on', async (_, kind, payload) => {
    await cam.connect()
    const topic = {
      state: topics.state(fleet, 'cam'),
      telemetry: topics.telemetry(fleet, 'cam', 'window'),
      reported: topics.reported(fleet, 'cam'),
      birth: topics.birth(fleet, 'cam'),
      block: topics.blockRequest(fleet, 'cam'),
    }[kind]!
    const before = await box.hub.services.fleet.device('cam')
    await cam.publish(topic, payload)
    await waitFor(async () =>
      expect((await news()).some((found) => String(found).startsWith('message_'))).toBe(true),
    )
    expect(cam.client.connected).toBe(true)
    expect(await box.hub.services.fleet.device('cam')).toEqual(before)
  })

  test('a payload that is too long for its topic keeps its connection, and nothing of it is kept', async () => {
    await cam.connect()
    await cam.publish(topics.state(fleet, 'cam'), 'x'.repeat(5_000), { qos: 1, retain: true })
    await waitFor(async () => expect(await news()).toContain('message_too_long'))
    expect((await box.hub.services.fleet.device('cam'))?.status).toBe('offline')
    await cam.publish(topics.state(fleet, 'cam'), cam.state('online', 1))
    expect((await box.hub.services.fleet.device('cam'))?.status).toBe('online')
  })

  test('a packet beyond every limit is thrown out at its header', async () => {
    await cam.connect()
    cam.publish(topics.telemetry(fleet, 'cam', 'window'), 'x'.repeat(300_000)).catch(() => {})
    await cam.hasClosed()
    await valve.connect()
    expect(valve.client.connected).toBe(true)
  })
})

describe('a device that subscribes', () => {
  test('to what is not its own is refused that and nothing else', async () => {
    await cam.connect()
    const filters = [
      topics.downAll(fleet, 'valve'),
      '#',
      'godwit/1/+/d/+/dn/#',
      topics.block(fleet, '+'),
      topics.state(fleet, 'valve'),
    ]
    for (const filter of filters) await expect(cam.client.subscribeAsync(filter)).rejects.toThrow()
    await cam.client.subscribeAsync(topics.downAll(fleet, 'cam'))
    await waitFor(async () => expect(await audited()).toContain('device:cam mqtt.refused'))
  })
})

describe('a stranger', () => {
  test('who announces a CONNECT of a megabyte is cut off before it arrives', async () => {
    const socket = connect(Number(new URL(box.hub.addresses.mqttUrl).port), '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(Buffer.from([0x10, 0x80, 0x80, 0x40, 0x00]))
    await once(socket, 'close')
  })
})

describe('the frame meter', () => {
  const publish = (length: number) =>
    Buffer.from([0x30, (length & 0x7f) | 0x80, (length >> 7) | 0x80, length >> 14])

  test('counts packets that come in any pieces', () => {
    const meter = new FrameMeter(100, 1_000)
    const stream = Buffer.concat([
      Buffer.from([0x10, 2, 0, 0]),
      Buffer.from([0xc0, 0]),
      publish(900),
      Buffer.alloc(900),
      Buffer.from([0xc0, 0]),
    ])
    for (const byte of stream) expect(meter.take(Buffer.from([byte]))).toBe(true)
    expect(meter.take(publish(1_001))).toBe(false)
  })

  test('holds the first packet to the smaller limit', () => {
    expect(new FrameMeter(100, 1_000).take(Buffer.from([0x10, 101]))).toBe(false)
    expect(new FrameMeter(100, 1_000).take(Buffer.from([0x10, 100]))).toBe(true)
  })

  test('refuses a length of five bytes', () => {
    expect(new FrameMeter(2 ** 30, 2 ** 30).take(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff]))).toBe(false)
  })

  test('lets the largest batch through', () => {
    expect(brokerDefaults.packetBytesMax).toBeGreaterThan(120_000 + 300)
  })
})
