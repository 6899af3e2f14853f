import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Sender } from '@godwit/agent/control/spool/sender'
import { type Entry, Spool, type SpoolLimits } from '@godwit/agent/control/spool/spool'
import { openDatabase } from '@godwit/agent/control/state/database'
import type { Ack } from '@godwit/protocol/messages/telemetry'
import { streams } from '@godwit/protocol/topics'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import type { StreamView } from '@godwit/sample-sensor-fleet/demo/observe'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventBody, TestDevice, windowBody } from '../hub/mqtt/test-device.ts'
import { type Box, newHub } from '../hub/support/new-hub.ts'
import { auditOf, seamless } from '../support/sequence-audit.ts'

/*
 * A month without a link in fast-forward: the agent's spool on a real disk, the hub's ingest on a real database, and
 * between them a link that loses, doubles and delays. Only time is not real.
 */

const minuteMs = 60_000
const dayMinutes = 24 * 60
const days = 30
const release = { model: 'gauge', version: '1', releaseDigest: 'ab'.repeat(32) }

let box: Box
let directory: string
let cam: TestDevice
beforeEach(async () => {
  box = await newHub()
  directory = mkdtempSync(join(tmpdir(), 'godwit-month-'))
  cam = await TestDevice.enrolled(box, 'cam', 11)
})
afterEach(async () => {
  await box.close()
  rmSync(directory, { recursive: true, force: true })
})

/** Seeded, so that a run that fails fails again. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return state / 2 ** 32
  }
}

/** One window a minute, a health record every ten, an event an hour. */
function* minutesOf(day: number): Generator<Entry> {
  for (let minute = day * dayMinutes; minute < (day + 1) * dayMinutes; minute++) {
    const at = minute * minuteMs
    yield { stream: 'window', body: windowBody({ ref: release }, { start: at, end: at + minuteMs }), at }
    if (minute % 10 === 0) {
      const bare = {
        uptimeMs: at,
        controlRssBytes: 1,
        runnerRssBytes: 1,
        diskFreeBytes: 1,
        memoryFreeBytes: 1,
      }
      const body = { at, ...bare, spoolRecords: 1, spoolBytes: 1, spoolDropped: 0, runnerRestarts: 0 }
      yield { stream: 'health', body, at }
    }
    if (minute % 60 === 0) yield { stream: 'event', body: eventBody({ key: `hour-${minute / 60}`, at }), at }
  }
}

/** A device that measures for a month and hears nothing. An hour is one transaction, which is all that is hurried. */
function monthAway(limits: SpoolLimits) {
  const { database } = openDatabase(join(directory, 'agent.db'), 0)
  const spool = new Spool(database, limits)
  for (let day = 0; day < days; day++) {
    const entries = [...minutesOf(day)]
    for (let i = 0; i < entries.length; i += 60) {
      const hour = entries.slice(i, i + 60)
      spool.append(hour, hour.at(-1)!.at)
    }
  }
  const { seed } = cam
  const sender = new Sender(
    spool,
    { seed, keyid: keyIdOf(keyOfSeed(seed)) },
    { fleet: 'test-fleet', deviceId: 'cam' },
  )
  return { spool, sender, database }
}

/** The link is back, and bad: of ten batches one is lost, one comes twice; of ten acks one is lost, one comes late. */
async function deliver(
  { spool, sender }: Pick<ReturnType<typeof monthAway>, 'spool' | 'sender'>,
  random: () => number,
) {
  const { telemetry } = box.hub.services
  const late: Ack[] = []
  let batches = 0
  for (let nowMs = 0; spool.figures.records > 0 || spoolIsOwing(spool); nowMs += 1_000) {
    if (random() < 0.005) sender.forgetFlights()
    for (const { stream, bytes } of sender.due(nowMs)) {
      batches++
      if (random() < 0.1) continue
      const copies = random() < 0.1 ? 2 : 1
      for (let copy = 0; copy < copies; copy++) {
        const receipt = await telemetry.receive('cam', stream, bytes)
        if (!receipt.ok) throw new Error(receipt.detail)
        const luck = random()
        if (luck < 0.1) late.push(receipt.ack)
        else if (luck > 0.2) sender.acknowledged(receipt.ack)
      }
    }
    if (late.length > 3) sender.acknowledged(late.shift()!)
    if (batches > 5_000) throw new Error('no end in sight')
  }
  return batches
}

/** Something was dropped and the hub has not been told. */
function spoolIsOwing(spool: Spool): boolean {
  return (['event', 'window', 'health'] as const).some(
    (stream) => spool.headOf(stream).dropped.length > 0 && spool.oldest(stream, 1).length === 0,
  )
}

async function completeness() {
  const answer = await box.hub.http.inject({
    url: '/api/v1/devices/cam/completeness',
    headers: { authorization: `Bearer ${box.adminToken}` },
  })
  const items = answer.json().items as StreamView[]
  return Object.fromEntries(items.map((item) => [item.stream, item]))
}

/** Nobody reads a source here: what is counted are the numbers. */
async function auditOfMonth({ spool }: Pick<ReturnType<typeof monthAway>, 'spool'>) {
  const { db } = box.hub.services.database
  const next = Object.fromEntries(streams.map((stream) => [stream, spool.marks(stream).next]))
  const windows = await db.selectFrom('window_record').select(['seq', 'readings', 'start_at']).execute()
  const events = await db.selectFrom('event_record').select('key').execute()
  const timed = windows.map(({ start_at, ...window }) => ({ ...window, start: start_at }))
  return auditOf({ next }, { streams: Object.values(await completeness()), windows: timed, events })
}

const windowStarts = async () => {
  const rows = await box.hub.services.database.db
    .selectFrom('window_record')
    .select('start_at')
    .orderBy('seq')
    .execute()
  return rows.map(({ start_at }) => start_at)
}

test('a month of windows arrives after the outage: none lost, none twice, none out of order', async () => {
  const away = monthAway({ bytesMax: 256 * 2 ** 20, ageMaxMs: 90 * dayMinutes * minuteMs })
  const held = away.spool.figures
  expect(held).toMatchObject({ records: days * (dayMinutes + dayMinutes / 10 + 24), dropped: 0 })
  await deliver(away, randomOf(7))
  const starts = await windowStarts()
  expect(starts).toHaveLength(days * dayMinutes)
  expect(starts.every((at, minute) => at === minute * minuteMs)).toBe(true)
  for (const [stream, count] of [
    ['window', dayMinutes],
    ['health', dayMinutes / 10],
    ['event', 24],
  ] as const)
    expect((await completeness())[stream]).toMatchObject({
      ...{ stored: count * days, contiguous: count * days, highest: count * days },
      ...{ missing: [], dropped: [], forgotten: 0, rejected: 0 },
    })
  expect(await auditOfMonth(away)).toEqual(seamless)
  expect(away.spool.figures).toMatchObject({ records: 0, bytes: 0 })
  away.database.close()
}, 240_000)

test('beyond the limits of the spool the lowest class goes first, and the hub knows exactly which numbers', async () => {
  const away = monthAway({ bytesMax: 8 * 2 ** 20, ageMaxMs: 90 * dayMinutes * minuteMs })
  const { records, bytes, dropped } = away.spool.figures
  expect(bytes).toBeLessThanOrEqual(8 * 2 ** 20)
  expect(records + dropped).toBe(days * (dayMinutes + dayMinutes / 10 + 24))
  await deliver(away, randomOf(8))
  const { event, window, health } = await completeness()
  expect(event).toMatchObject({ stored: days * 24, dropped: [], missing: [] })
  // Every number that is not there is on record with its reason, and no other.
  expect(await auditOfMonth(away)).toEqual({ ...seamless, told: dropped })
  for (const { reason } of [...window!.dropped, ...health!.dropped]) expect(reason).toBe('spool_full')
  const inRanges = (stream: typeof window) =>
    stream!.dropped.reduce((sum, { first, last }) => sum + last - first + 1, 0)
  expect(window).toMatchObject({ stored: days * dayMinutes - inRanges(window), missing: [], forgotten: 0 })
  // What is left is the newest, without a hole.
  const starts = await windowStarts()
  expect(starts.at(-1)).toBe((days * dayMinutes - 1) * minuteMs)
  expect(starts.every((at, i) => i === 0 || at === starts[i - 1]! + minuteMs)).toBe(true)
  away.database.close()
}, 240_000)
