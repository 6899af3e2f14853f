import { quantileMicros } from '@godwit/hub/telemetry/latency'
import { buildProfile } from '@godwit/protocol/drift/build-profile'
import { WindowCounters } from '@godwit/protocol/drift/counters'
import type { WindowRecord } from '@godwit/protocol/messages/telemetry'
import { latencyBucketMicros } from '@godwit/protocol/messages/telemetry'
import { topics } from '@godwit/protocol/topics'
import { utf8 } from '@godwit/protocol/trust/encoding'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { eventBody, fleet, listedVersion, plainFiles, TestDevice, windowBody } from '../mqtt/test-device.ts'
import { type Box, newHub, seedOf } from '../support/new-hub.ts'

let box: Box
let cam: TestDevice
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  cam = await TestDevice.enrolled(box, 'cam', 11)
  await (await cam.connect()).subscribeAll()
})
afterEach(async () => {
  await cam.end()
  await box.close()
})

const acks = () => cam.on(topics.ack(fleet, 'cam')).map((text) => JSON.parse(text).acks)
const send = (bytes: Uint8Array, stream: 'event' | 'window' | 'health' = 'event') =>
  cam.publish(topics.telemetry(fleet, 'cam', stream), bytes)
const records = (...seqs: number[]) => seqs.map((seq) => ({ seq, body: eventBody({ key: `k${seq}` }) }))
const stored = async (hub = box.hub) =>
  (await hub.services.database.db.selectFrom('event_record').select('seq').orderBy('seq').execute()).map(
    ({ seq }) => seq,
  )
const api = async (path: string) => {
  const response = await fetch(`${box.hub.addresses.httpUrl}/api/v1${path}`, {
    headers: { authorization: `Bearer ${box.adminToken}` },
  })
  return { status: response.status, body: (await response.json()) as Record<string, never> }
}

describe('telemetry over MQTT', () => {
  test('is stored before the broker acknowledges it, and acked by the hub after that', async () => {
    await send(cam.seal({ stream: 'event', records: records(1, 2) }))
    expect(await stored()).toEqual([1, 2])
    await waitFor(() => expect(acks()).toEqual([{ event: 2 }]))
  })

  test('of many at once is all there, and every batch is answered', async () => {
    await Promise.all(
      Array.from({ length: 40 }, (_, i) => send(cam.seal({ stream: 'event', records: records(i + 1) }))),
    )
    expect(await stored()).toHaveLength(40)
    await waitFor(() => expect(acks()).toHaveLength(40))
    expect(Math.max(...acks().map(({ event }) => event))).toBe(40)
  })

  test.each([
    ['signed by another key', () => cam.seal({ stream: 'event', records: records(1) }, seedOf(99))],
    ['of another device', () => cam.seal({ stream: 'event', deviceId: 'valve', records: records(1) })],
    ['of another fleet', () => cam.seal({ stream: 'event', fleet: 'other', records: records(1) })],
    ['of another stream', () => cam.seal({ stream: 'window', records: records(1) })],
    [
      'with a sequence number that no integer holds',
      () => cam.seal({ stream: 'event', records: [{ seq: 2 ** 60, body: eventBody() }] }),
    ],
  ])('%s is not stored and not acked, and the next one is', async (_, seal) => {
    await send(seal())
    await send(cam.seal({ stream: 'event', session: 'session-2', records: records(1) }))
    await waitFor(() => expect(acks()).toHaveLength(1))
    expect(await stored()).toEqual([1])
  })

  test('goes on after a restart of the hub as if nothing had been', async () => {
    await send(cam.seal({ stream: 'event', records: records(1, 2) }))
    await box.hub.stop()
    const next = await box.again()
    await next.start()
    await cam.connect({}, next.addresses.mqttUrl)
    await cam.subscribeAll()
    // The ack was lost with the hub, so the device sends everything again, and more.
    await send(cam.seal({ stream: 'event', records: records(1, 2, 3) }))
    expect(await stored(next)).toEqual([1, 2, 3])
    await waitFor(() => expect(acks().at(-1)).toEqual({ event: 3 }))
  })

  test('shows what is missing and why', async () => {
    await send(cam.seal({ stream: 'event', records: records(1, 2) }))
    await send(cam.seal({ stream: 'event', base: 8, dropped: [[3, 4]], records: records(8, 10) }))
    const { body } = await api('/devices/cam/completeness')
    expect(body['items']).toMatchObject([
      {
        ...{ stream: 'event', contiguous: 8, highest: 10, stored: 4 },
        dropped: [{ first: 3, last: 4, reason: 'spool_full' }],
        missing: [
          { first: 5, last: 7, reason: 'never_arrived' },
          { first: 9, last: 9, reason: 'awaited' },
        ],
      },
    ])
    expect((await api('/overview')).body['telemetry']).toMatchObject({
      events: 4,
      missing: 4,
      dropped: 2,
      duplicates: 0,
    })
  })

  test('that is missing of one slot is told with its time, and the other slot is not blamed', async () => {
    const version = await listedVersion(box, '1', plainFiles(1))
    const minute = 60_000
    const window = (seq: number, slot: string, n: number, tallies = {}) => ({
      seq,
      body: windowBody(version, { slot, start: n * minute, end: (n + 1) * minute, ...tallies }),
    })
    await send(
      cam.seal({
        stream: 'window',
        base: 5,
        dropped: [[3, 3, 'too_old']],
        records: [
          ...[window(1, 'door', 0), window(2, 'roof', 0, { dropped: 7, requests: 4 })],
          // 3, 4 and 6 were windows of the door; those of the roof are all here.
          ...[window(5, 'roof', 1), window(7, 'roof', 2), window(8, 'door', 4)],
        ],
      }),
      'window',
    )
    const at = (n: number) => new Date(n * minute).toISOString()
    const slots = [{ slot: 'door', from: at(1), to: at(4) }]
    const { body } = await api('/devices/cam/completeness')
    expect(body['items']).toMatchObject([
      {
        dropped: [{ first: 3, last: 3, reason: 'too_old', slots }],
        // What was let go before this hub first heard of the session.
        forgotten: 1,
        missing: [{ first: 6, last: 6, reason: 'awaited', slots }],
      },
    ])
    const { items } = (await api('/devices/cam/windows')).body as unknown as { items: object[] }
    expect(items.at(-1)).toMatchObject({ slot: 'door', dropped: 0, requests: 0 })
    expect(items.at(-2)).toMatchObject({ slot: 'roof', dropped: 7, requests: 4 })
    expect(body['sentence']).toBe(
      '5 records stored; 1 not here yet: in the spool of the device, or on its way; ' +
        '1 dropped by the device: older than its spool keeps records; ' +
        '1 let go before this hub first heard of the device; none counted twice. ' +
        'What it measures while it is offline waits in its spool.',
    )
  })

  test('that got no number because a disk took nothing is told as well, and what a spool holds', async () => {
    const detail = { durationMs: 9_000, windowsHeld: 5, windowsDropped: 2, eventsDropped: 0 }
    const outage = eventBody({ kind: 'storage_recovered', slot: 'door', at: 20, detail })
    await send(cam.seal({ stream: 'event', records: [{ seq: 1, body: outage }] }))
    const memory = { controlRssBytes: 1, runnerRssBytes: 1, diskFreeBytes: 1, memoryFreeBytes: 1 }
    const health = { ...memory, at: 30, uptimeMs: 1, spoolRecords: 12, spoolBytes: 3_000, spoolDropped: 1 }
    const records = [{ seq: 1, body: { ...health, runnerRestarts: 0 } }]
    await send(cam.seal({ stream: 'health', records }), 'health')
    const others = await api('/telemetry/events?except=storage_recovered')
    expect(others.body['items']).toEqual([])
    const { body } = await api('/devices/cam/completeness')
    const lost = { windowsDropped: 2, eventsDropped: 0, durationMs: 9_000 }
    expect(body['sentence']).toContain('2 windows never written: the disk of the device took nothing')
    expect(body['outages']).toEqual([{ slot: 'door', at: '1970-01-01T00:00:00.020Z', ...lost }])
    expect(body['spool']).toEqual({
      at: '1970-01-01T00:00:00.030Z',
      ...{ records: 12, bytes: 3_000, dropped: 1 },
    })
  })

  test('is acked with the time of the hub, from which a device learns how wrong its clock is', async () => {
    await send(cam.seal({ stream: 'event', records: records(1) }))
    const answers = () => cam.on(topics.ack(fleet, 'cam')).map((text) => JSON.parse(text))
    await waitFor(() => expect(answers()[0]).toMatchObject({ time: new Date(box.time.now).toISOString() }))
  })

  test('is listed: windows, events by kind, energy with its label', async () => {
    const version = await listedVersion(box, '1', plainFiles(1))
    const energy = {
      joules: 2,
      idleShareJoules: 1,
      unattributedJoules: 0,
      label: 'modelled',
      source: 'tdp',
      scope: 'cpu',
      coverage: 0.5,
      sigmaFactor: 2,
      cpuMs: 10,
    } as const
    const windows = [1, 2, 3].map((seq) => ({
      seq,
      body: windowBody(version, { start: seq * 1_000, end: seq * 1_000 + 1_000, ...(seq < 3 && { energy }) }),
    }))
    await send(cam.seal({ stream: 'window', records: windows }), 'window')
    await send(
      cam.seal({
        stream: 'event',
        records: [...records(1), { seq: 2, body: eventBody({ kind: 'kettle', at: 9 }) }],
      }),
    )
    const listed = (await api('/devices/cam/windows?limit=2')).body['items'] as unknown as {
      seq: number
      p95Micros: number
    }[]
    expect(listed.map(({ seq }) => seq)).toEqual([3, 2])
    expect(listed[0]?.p95Micros).toBe(1_000)
    expect((await api('/devices/cam/windows?before=4000')).body['items']).toHaveLength(2)
    const page = await api('/devices/cam/windows?limit=2')
    const rest = await api(`/devices/cam/windows?limit=2&cursor=${page.body['nextCursor']}`)
    expect(rest.body['items']).toMatchObject([{ seq: 1 }])
    expect(rest.body['nextCursor']).toBeUndefined()
    expect((await api('/telemetry/events?kind=kettle')).body['items']).toMatchObject([
      { seq: 2, kind: 'kettle' },
    ])
    const first = await api('/telemetry/events?limit=1')
    expect(first.body['items']).toMatchObject([{ seq: 2 }])
    expect(
      (await api(`/telemetry/events?limit=1&cursor=${first.body['nextCursor']}`)).body['items'],
    ).toMatchObject([{ seq: 1 }])
    const { items, total } = (await api('/energy?groupBy=device')).body as unknown as {
      items: unknown[]
      total: unknown
    }
    // Two windows of three carry a figure, each covers half of its second: a gap adds no joules and lowers the coverage.
    expect(total).toMatchObject({
      joules: 4,
      idleShareJoules: 2,
      label: 'modelled',
      coverage: 1 / 3,
      inferences: 90,
      sources: ['tdp'],
    })
    expect(items).toMatchObject([{ key: 'cam', joules: 4, grams: expect.any(Number) }])
  })
})

describe('a latency histogram', () => {
  const counts = (spread: Record<number, number>) => [
    ...latencyBucketMicros.map((bound) => spread[bound] ?? 0),
    spread[Infinity] ?? 0,
  ]

  test.each([
    [{}, null],
    [{ 1000: 100 }, 1_000],
    [{ 1000: 94, 4000: 6 }, 4_000],
    [{ 1000: 95, 4000: 5 }, 1_000],
    [{ [Infinity]: 1 }, 1_000_001],
  ])('%j has its 95th percentile at %s', (spread, expected) => {
    expect(quantileMicros(counts(spread), 0.95)).toBe(expected)
  })
})

describe('drift', () => {
  const wave = (i: number, offset = 0) =>
    Math.sin(i * 1.7) + Math.sin(i * 0.91) + ((i * 7919) % 101) / 101 + offset
  const reference = Array.from({ length: 64 * 40 }, (_, i) => wave(i))

  async function released() {
    const profile = buildProfile([{ residual: reference }])
    const files = { ...plainFiles(1), 'profile.json': utf8(JSON.stringify(profile)) }
    return { profile, version: await listedVersion(box, '1', files, { profile: 'profile.json' }) }
  }

  type Released = Awaited<ReturnType<typeof released>>

  /** Window records as a device counts them: `count` of them, each with one complete drift window. */
  function windowsOf(
    { profile, version }: Released,
    count: number,
    offset: number,
    fromSeq = 1,
  ): { seq: number; body: WindowRecord }[] {
    const counters = new WindowCounters(profile)
    const result: { seq: number; body: WindowRecord }[] = []
    for (let i = 0; result.length < count; i++) {
      const drift = counters.observe([wave(i, offset)])
      if (drift) result.push({ seq: fromSeq + result.length, body: windowBody(version, { drift: [drift] }) })
    }
    return result
  }

  const verdicts = async () => (await api('/drift')).body['items'] as unknown as Record<string, unknown>[]

  test('is quiet for a device like the reference, and an alarm for one that is not', async () => {
    const known = await released()
    const valve = await TestDevice.enrolled(box, 'valve', 12)
    await valve.connect()
    await send(cam.seal({ stream: 'window', records: windowsOf(known, 30, 0) }), 'window')
    await valve.publish(
      topics.telemetry(fleet, 'valve', 'window'),
      valve.seal({ stream: 'window', records: windowsOf(known, 30, 3) }),
    )
    expect(await verdicts()).toMatchObject([
      {
        deviceId: 'valve',
        slot: 'default',
        model: 'gauge',
        version: '1',
        state: 'alarm',
        windows: 30,
        threshold: 25,
        lead: { feature: 'residual' },
      },
      { deviceId: 'cam', state: 'quiet', windows: 30 },
    ])
    const worst = (await api('/drift?limit=1')).body
    const rest = (await api(`/drift?limit=1&cursor=${worst['nextCursor']}`)).body
    expect([worst['items'], rest['items']]).toMatchObject([[{ deviceId: 'valve' }], [{ deviceId: 'cam' }]])
    expect(rest['nextCursor']).toBeUndefined()
    const news = await box.hub.services.feed.after(0, 500)
    expect(
      news.filter(({ type }) => type === 'drift.verdict').map(({ topic, data }) => [topic, data['state']]),
    ).toEqual([
      ['device:cam', 'quiet'],
      ['device:valve', 'alarm'],
    ])
    await valve.end()
  })

  test('comes to the same verdict in whatever order the batches arrive', async () => {
    const known = await released()
    const valve = await TestDevice.enrolled(box, 'valve', 12)
    await valve.connect()
    const all = windowsOf(known, 12, 3)
    const at = (device: TestDevice, from: number, to: number) =>
      device.publish(
        topics.telemetry(fleet, device.id, 'window'),
        device.seal({ stream: 'window', records: all.slice(from, to) }),
      )
    await at(cam, 0, 12)
    for (const [from, to] of [
      [8, 12],
      [0, 4],
      [0, 4],
      [4, 8],
    ] as const)
      await at(valve, from, to)
    const [first, second] = await verdicts()
    const { deviceId: _a, updatedAt: _b, ...one } = first!
    const { deviceId: _c, updatedAt: _d, ...other } = second!
    expect(other).toEqual(one)
  })

  test('latches its alarm until the release is activated anew', async () => {
    const known = await released()
    await send(cam.seal({ stream: 'window', records: windowsOf(known, 20, 3) }), 'window')
    const later = windowsOf(known, 40, 0, 21).map(({ seq, body }) => ({
      seq,
      body: { ...body, drift: body.drift.map((window) => ({ ...window, index: window.index + 20 })) },
    }))
    await send(cam.seal({ stream: 'window', records: later.slice(0, 20) }), 'window')
    expect(await verdicts()).toMatchObject([{ state: 'alarm', windows: 40 }])
    // Counted from zero again: another activation, another verdict.
    await send(cam.seal({ stream: 'window', records: windowsOf(known, 2, 0, 41) }), 'window')
    expect(await verdicts()).toMatchObject([{ state: 'not-enough-data', windows: 2 }])
  })

  test('takes no notice of counts that do not fit the signed profile, and says that there were some', async () => {
    const known = await released()
    const [{ seq, body }] = windowsOf(known, 1, 0) as [{ seq: number; body: WindowRecord }]
    const counts = { counts: [1, 2, 3], repeat: 0, missing: 0, outside: 0 }
    await send(
      cam.seal({
        stream: 'window',
        records: [{ seq, body: { ...body, drift: [{ index: 0, features: { residual: counts } }] } }],
      }),
      'window',
    )
    expect(await verdicts()).toMatchObject([{ state: 'not-enough-data', windows: 0, malformed: 1 }])
  })
})
