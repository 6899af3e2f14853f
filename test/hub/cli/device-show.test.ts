import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fleet, listedVersion, plainFiles, TestDevice, windowBody } from '../mqtt/test-device.ts'
import { type Box, newHub } from '../support/new-hub.ts'
import { scratch } from '../support/scratch.ts'
import { godwitFor } from './godwit.ts'

let box: Box
let cam: TestDevice
let godwit: ReturnType<typeof godwitFor>
beforeEach(async () => {
  box = await newHub()
  await box.hub.start()
  godwit = godwitFor(box, scratch())
  cam = await TestDevice.enrolled(box, 'cam', 11)
  await (await cam.connect()).subscribeAll()
})
afterEach(async () => {
  await cam.end()
  await box.close()
})

const minute = 60_000

test('godwit device show says what runs and why, what holds a deployment up, and what is missing and why', async () => {
  const version = await listedVersion(box, '1', plainFiles(1))
  const figures = { code: 'ok', p50Micros: 900, p95Micros: 1_200, memoryBytes: 50 * 2 ** 20 } as const
  const trials = [
    {
      variant: 'int8',
      executionProvider: 'cpu',
      ...figures,
      energyMicrojoules: 1_500,
      energyLabel: 'measured',
    },
    { variant: 'fp32', executionProvider: 'cuda', code: 'selftest_accuracy', detail: 'case 3: got 1' },
  ] as const
  await cam.publish(
    topics.reported(fleet, 'cam'),
    cam.report(1, {
      phase: 'self_testing',
      attempt: 1,
      answered: 0,
      target: { ...version.ref, version: '2' },
      detail: 'ready to install, waiting for its install window',
      active: {
        ...version.ref,
        ...{ variant: 'int8', executionProvider: 'cpu', since: minute },
        ...{ loadedDigest: 'a'.repeat(64), proof: 'b'.repeat(64) },
        choice: {
          by: 'only',
          why: 'int8 on cpu: no other passed',
          at: 1,
          measuredOn: 'x',
          trials: [...trials],
        },
      },
    }),
  )
  const body = (n: number) => windowBody(version, { start: n * minute, end: (n + 1) * minute, dropped: 7 })
  const records = [1, 4].map((seq) => ({ seq, body: body(seq) }))
  const batch = cam.seal({ stream: 'window', records: records.slice(0, 1) })
  await cam.publish(topics.telemetry(fleet, 'cam', 'window'), batch)
  const later = cam.seal({
    stream: 'window',
    base: 4,
    dropped: [[2, 3, 'too_old']],
    records: records.slice(1),
  })
  await cam.publish(topics.telemetry(fleet, 'cam', 'window'), later)

  const { stdout, code } = await godwit('device', 'show', 'cam')
  expect(code).toBe(0)
  for (const text of [
    'int8 on cpu, which is what really ran it',
    'int8 on cpu: no other passed',
    'held up         ready to install, waiting for its install window',
    'selftest_accuracy',
    '1.5 mJ measured',
    'case 3: got 1',
    '2 dropped by the device: older than its spool keeps records',
  ])
    expect(stdout).toContain(text)
  expect(stdout).toMatch(
    /window +2 to 3 +dropped by the device: older .* slot default from 1970-01-01T00:02:00/,
  )
  const json = await godwit('device', 'show', 'cam', '--json')
  expect(JSON.parse(json.stdout)).toMatchObject({ id: 'cam', report: { directiveVersion: 1 } })
  expect((await godwit('device', 'completeness', 'cam')).stdout).toContain('2 to 3')
  expect((await godwit('device', 'windows', 'cam')).stdout).toMatch(/REQUESTS .*DROPPED.* 7 /s)
})

test('godwit device show of a device that nobody knows ends with not found and the name', async () => {
  const { code, stderr } = await godwit('device', 'show', 'cim')
  expect(code).toBe(3)
  expect(stderr).toContain('no device cim')
})
