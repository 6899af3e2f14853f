import type { Answers } from './fake-hub.ts'

const digest = (seed: string) => seed.repeat(64).slice(0, 64)
const releases = { '1': digest('1a7f'), '2': digest('2c90'), '3': digest('3e5b') } as const
const model = 'mote-anomaly'
const ref = (version: keyof typeof releases) => ({ model, version, releaseDigest: releases[version] })
const minute = 60_000

export const card = `# Mote anomaly score, version 2

**What it does.** Takes the last four readings of a mote and answers how far they lie from ordinary weather: 1 is
ordinary, above \`3.41\` is called an event. <script>alert('card')</script>

- trained on motes 1 to 4
- labels were **not** used

| mote | event readings found |
|---|---|
| mote-1 | 96 of 117 |
| mote-4 | 29 of 32 |
`

/** What a hub answers after the demo's third step, with the impostor just refused. */
export function sampleAnswers(now: number): Answers {
  const ago = (ms: number) => new Date(now - ms).toISOString()
  const factor = {
    zone: 'WORLD',
    gramsPerKilowattHour: 475,
    type: 'average',
    basis: 'direct',
    year: 2019,
    source: 'IEA, Global Energy & CO2 Status Report 2019, via CodeCarbon',
    licence: 'MIT (CodeCarbon)',
  }
  const energy = (joules: number, inferences: number) => ({
    joules,
    idleShareJoules: joules * 0.2,
    unattributedJoules: joules * 0.4,
    inferences,
    grams: ((joules * 1.2) / 3.6e6) * 475,
    label: 'assumed',
    coverage: 0.9876,
    sigmaFactor: 3,
    sources: ['constant 4 W per busy core'],
    windows: 312,
    windowMs: 312 * 5_000,
    factors: [factor],
  })
  const active = (version: '1' | '2', i: number) => ({
    ...ref(version),
    variant: 'fp32',
    since: now - 11 * minute,
    executionProvider: 'cpu',
    loadedDigest: digest(`a${i}b4`),
    proof: digest(`f${i}07`),
  })
  const feature = (name: string, state: string, evidence: number, lead?: object) => ({
    feature: name,
    state,
    evidence,
    peak: evidence * 1.1,
    alarmedAt: state === 'alarm' ? 9 : null,
    lead: lead ?? null,
    certified: false,
  })
  const verdict = (id: string, version: '1' | '2', state: string, evidence: number, windows: number) => ({
    deviceId: id,
    slot: 'default',
    ...ref(version),
    state,
    evidence,
    peak: evidence * 1.1,
    threshold: 25,
    windows,
    windowsNeeded: 16,
    falseAlarmAtMost: null,
    isRunning: version === '2',
    updatedAt: ago(40_000),
    features: [
      feature('score', state, evidence, { statistic: 'location', direction: 'up' }),
      feature('score step', state === 'alarm' ? 'quiet' : state, evidence / 4),
    ],
  })
  const drift = [
    verdict('mote-1', '1', 'quiet', 0.4, 52),
    verdict('mote-2', '1', 'quiet', 3.2, 50),
    verdict('mote-3', '1', 'alarm', 88.1, 51),
    verdict('mote-4', '1', 'alarm', 41.7, 49),
    verdict('mote-1', '2', 'quiet', 0.6, 28),
    verdict('mote-2', '2', 'quiet', 9.4, 27),
    verdict('mote-3', '2', 'quiet', 1.3, 26),
    verdict('mote-4', '2', 'not-enough-data', 1.1, 7),
  ]
  const devices = [1, 2, 3, 4].map((i) => {
    const id = `mote-${i}`
    const isCanary = i === 2
    return {
      id,
      labels: { placement: i < 3 ? 'indoor' : 'outdoor', site: 'greensboro' },
      status: 'online',
      enrolledAt: ago(22 * minute),
      lastSeenAt: ago(i * 1_300),
      directiveVersion: isCanary ? 3 : 2,
      birth: {
        agentVersion: '0.1.0',
        hardware: {
          model: 'virtual',
          arch: 'x64',
          os: 'linux 6.1',
          cores: 2,
          memoryBytes: 4 * 2 ** 30,
          diskFreeBytes: 9e9,
        },
        runtime: { name: 'onnxruntime-node', version: '1.27.0', executionProviders: ['cpu'], opsetMax: 23 },
      },
      report: {
        deviceId: id,
        at: now - 30_000,
        directiveVersion: isCanary ? 3 : 2,
        quarantine: isCanary ? [releases['3']] : [],
        free: { diskBytes: 9_100_000_000, memoryBytes: 2_300_000_000 },
        clock: { skewMs: 12, floor: now - minute },
        slots: {
          default: {
            phase: isCanary ? 'refused' : 'committed',
            target: ref(isCanary ? '3' : '2'),
            active: active('2', i),
            lastKnownGood: ref('1'),
            attempt: 1,
            answered: 2,
            ...(isCanary
              ? {
                  code: 'selftest_accuracy',
                  detail: 'golden vector 3: output score is 1, expected 2.4187 within 0.001',
                }
              : { code: 'ok' }),
          },
        },
      },
      goals: { default: ref(isCanary ? '3' : '2') },
      energy: energy(4.1 + i, 4_300 + 11 * i),
      completeness: { stored: 320, duplicates: 4, dropped: 0, missing: 0, forgotten: 0, rejected: 0 },
    }
  })
  const gates = (state: string) => [
    {
      name: 'success_share',
      state,
      value: state === 'fail' ? 0 : 1,
      threshold: 0.95,
      op: '>=',
      n: 1,
      of: 1,
      sentence: `success share ${state === 'fail' ? '0 % <' : '100 % >='} 95 % (1 of 1 devices)`,
    },
    {
      name: 'sample',
      state: state === 'fail' ? 'inconclusive' : 'pass',
      value: state === 'fail' ? null : 412,
      threshold: 100,
      op: '>=',
      n: state === 'fail' ? 0 : 1,
      of: 1,
      sentence: 'smallest sample not measured',
    },
    {
      name: 'error_rate',
      state: state === 'fail' ? 'inconclusive' : 'pass',
      value: state === 'fail' ? null : 0,
      threshold: 0.02,
      op: '<=',
      n: state === 'fail' ? 0 : 1,
      of: 1,
      sentence: 'error rate',
    },
    {
      name: 'p95_micros',
      state: state === 'fail' ? 'inconclusive' : 'pass',
      value: state === 'fail' ? null : 160,
      threshold: 2_000,
      op: '<=',
      n: state === 'fail' ? 0 : 1,
      of: 1,
      sentence: 'p95 latency',
    },
  ]
  const plan = {
    waves: [
      {
        name: 'canary',
        size: { count: 1 },
        soakMs: 20_000,
        minSample: 100,
        successShare: 0.95,
        deadlineMs: 120_000,
        gates: [{ metric: 'error_rate', max: 0.02 }],
      },
      {
        name: 'rest',
        size: { rest: true },
        soakMs: 20_000,
        minSample: 100,
        successShare: 0.95,
        deadlineMs: 120_000,
        gates: [],
      },
    ],
    onFailure: 'pause',
    maxInFlight: 50,
    windowMs: 5_000,
  }
  const rollout = (id: string, version: '1' | '2', at: number) => ({
    id,
    ...ref(version),
    slot: 'default',
    selector: '',
    plan,
    phase: 'completed',
    revision: 14,
    sentence: `Completed: 4 of 4 devices run ${model} ${version}.`,
    waves: [
      {
        name: 'canary',
        state: 'passed',
        since: ago(at - 2 * minute),
        counts: { succeeded: 1 },
        gates: gates('pass'),
      },
      { name: 'rest', state: 'passed', since: ago(at - 4 * minute), counts: { succeeded: 3 }, gates: [] },
    ],
    allowedActions: ['rollback'],
    createdAt: ago(at),
    createdBy: 'demo',
    updatedAt: ago(at - 4 * minute),
  })
  const paused = {
    id: 'r-3',
    ...ref('3'),
    slot: 'default',
    selector: '',
    plan,
    phase: 'paused',
    revision: 9,
    sentence:
      'Paused at wave 1 of 2 (canary): success share 0 % < 95 % (1 of 1 devices): selftest_accuracy, since 21:40 UTC. No further device is directed.',
    waves: [
      {
        name: 'canary',
        state: 'failed',
        since: ago(2 * minute),
        counts: { failed: 1 },
        gates: gates('fail'),
      },
      { name: 'rest', state: 'pending', since: ago(3 * minute), counts: { pending: 3 }, gates: [] },
    ],
    allowedActions: ['resume', 'abort', 'rollback'],
    createdAt: ago(3 * minute),
    createdBy: 'demo',
    updatedAt: ago(2 * minute),
  }
  const rollouts = [paused, rollout('r-2', '2', 12 * minute), rollout('r-1', '1', 20 * minute)]
  const windows = Array.from({ length: 60 }, (_, i) => {
    const start = now - (60 - i) * 5_000
    const inferences = 14 + (i % 3) + (i % 11 === 0 ? 3 : 0)
    return {
      deviceId: 'mote-2',
      session: 'b2d0c6f1-5f0a',
      seq: i + 260,
      slot: 'default',
      ...ref('2'),
      start: new Date(start).toISOString(),
      end: new Date(start + 5_000).toISOString(),
      readings: 15,
      inferences,
      errors: 0,
      warmUp: 0,
      anomalies: i === 41 ? 3 : 0,
      p95Micros: i % 11 === 0 ? 250 : 160,
      energy: {
        joules: 0.012 + 0.002 * Math.sin(i / 4),
        idleShareJoules: 0.003,
        label: 'assumed',
        source: 'constant 4 W per busy core',
        coverage: 1,
        sigmaFactor: 3,
      },
    }
  }).filter((_, i) => i < 22 || i > 29)
  const event = (i: number, deviceId: string, kind: string, severity: string, detail: object) => ({
    deviceId,
    session: 'b2d0c6f1-5f0a',
    seq: i,
    at: ago(i * 31_000),
    kind,
    severity,
    slot: 'default',
    detail,
  })
  const events = [
    event(1, 'mote-2', 'candidate_refused', 'warning', { model, version: '3', code: 'selftest_accuracy' }),
    event(2, 'mote-1', 'anomaly', 'alarm', { score: 7.3184, threshold: 3.41, reading: 2_911 }),
    event(3, 'mote-1', 'anomaly', 'alarm', { score: 5.1, threshold: 3.41, reading: 2_910 }),
    event(5, 'mote-4', 'swapped', 'info', { from: `${model}@1`, to: `${model}@2`, lostInferences: 0 }),
    event(8, 'mote-3', 'link_restored', 'info', { outageMs: 61_000, spooled: 14 }),
  ]
  const file = (seed: string, sizeBytes: number) => ({
    sha256: digest(seed),
    sizeBytes,
    blockBytes: 65_536,
    blocks: [],
  })
  const release = {
    note: 'Knows all four motes.',
    createdAt: ago(13 * minute),
    variants: [{ name: 'fp32', file: 'model.onnx', executionProviders: ['cpu'], precision: 'float32' }],
    files: {
      'model.onnx': file('b1c2', 9_214),
      'golden.json': file('c3d4', 18_022),
      'pipeline.json': file('d5e6', 712),
      'profile.json': file('e7f8', 40_100),
      'card.md': file('ca4d', 1_310),
    },
    io: {
      inputs: [{ name: 'window', dtype: 'float32', shape: ['n', 4, 2] }],
      outputs: [{ name: 'score', dtype: 'float32', shape: ['n', 1] }],
    },
    golden: 'golden.json',
    pipeline: 'pipeline.json',
    profile: 'profile.json',
    card: 'card.md',
    requires: { opset: { '': 17 }, irVersion: 9, memoryBytes: 64 * 2 ** 20 },
    promises: { p95Micros: 2_000, memoryBytes: 64 * 2 ** 20 },
    provenance: {
      trainer: 'sensor-fleet',
      commit: '9f2c1e0',
      parent: '1',
      dataset: [{ name: 'single-hop motes', sha256: digest('9a') }],
    },
  }
  const version = (v: keyof typeof releases, i: number, on: string[]) => ({
    model,
    version: v,
    releaseDigest: releases[v],
    releaseCounter: i,
    sizeBytes: 69_358,
    createdAt: ago((24 - 4 * i) * minute),
    createdBy: 'demo',
    listed: true,
    listedAt: ago((23 - 4 * i) * minute),
    devices: on,
  })
  const all = ['mote-1', 'mote-2', 'mote-3', 'mote-4']
  const versions = [version('1', 1, []), version('2', 2, all), version('3', 3, [])]
  const description = 'Says when a mote reads something out of the ordinary.'
  const list = (items: unknown[]) => ({ items, nextCursor: null })

  const answers: Answers = {
    '/api/v1/session': { who: 'demo', roles: ['admin'], kind: 'browser' },
    '/api/v1/pending-devices': { items: [] },
    '/api/v1/overview': {
      fleet: 'demo',
      devices: { total: 4, online: 4, sleeping: 0, offline: 0, drifting: 0, failed: 1 },
      rollouts: { active: 1 },
      energy: energy(24.6, 17_300),
      telemetry: { windows: 1_248, events: 61, missing: 0, dropped: 0, duplicates: 17 },
      attention: [
        {
          severity: 'alarm',
          text: `Rollout ${model} 3 paused: success share 0 % < 95 % at wave canary`,
          link: '/rollouts/r-3',
        },
        {
          severity: 'warning',
          text: 'mote-2 refused its candidate: selftest_accuracy',
          link: '/devices/mote-2',
        },
      ],
      versions: [{ model, version: '2', devices: 4 }],
    },
    '/api/v1/devices': list(devices.map((d) => ({ ...d, drift: drift.filter((v) => v.deviceId === d.id) }))),
    '/api/v1/drift': list(drift),
    '/api/v1/energy?groupBy=version': {
      ...list([
        { model, version: '1', ...energy(14, 9_000) },
        {
          model,
          version: '2',
          ...energy(10.6, 8_300),
          label: 'measured',
          sources: ['rapl package-0'],
          sigmaFactor: 1.05,
        },
      ]),
      total: energy(24.6, 17_300),
    },
    '/api/v1/energy?groupBy=model': {
      ...list([{ model, ...energy(24.6, 17_300) }]),
      total: energy(24.6, 17_300),
    },
    '/api/v1/energy?groupBy=device': {
      ...list(devices.map((d) => ({ deviceId: d.id, ...d.energy }))),
      total: energy(24.6, 17_300),
    },
    '/api/v1/rollouts': list(rollouts),
    '/api/v1/rollouts/r-3/devices': list([
      {
        deviceId: 'mote-2',
        wave: 0,
        state: 'failed',
        code: 'selftest_accuracy',
        detail: 'golden vector 3: output score is 1, expected 2.4187 within 0.001',
        directiveVersion: 3,
        previous: ref('2'),
        updatedAt: ago(2 * minute),
      },
      ...['mote-1', 'mote-3', 'mote-4'].map((deviceId) => ({
        deviceId,
        wave: 1,
        state: 'pending',
        code: null,
        detail: null,
        directiveVersion: null,
        previous: ref('2'),
        updatedAt: ago(3 * minute),
      })),
    ]),
    '/api/v1/rollouts/r-3/events': list([
      {
        id: 1,
        at: ago(3 * minute),
        kind: 'created',
        who: 'demo',
        message: `${model} 3 for 4 devices in 2 waves`,
      },
      { id: 2, at: ago(3 * minute), kind: 'wave_opened', who: 'hub', message: 'canary: 1 device' },
      {
        id: 3,
        at: ago(2 * minute),
        kind: 'paused',
        who: 'hub',
        message: 'success share 0 % < 95 % (1 of 1 devices): selftest_accuracy',
      },
    ]),
    '/api/v1/telemetry/events': list(events),
    '/api/v1/models': list([
      { name: model, description, createdAt: ago(22 * minute), versions, aliases: { champion: '2' } },
    ]),
    [`/api/v1/models/${model}`]: {
      name: model,
      description,
      createdAt: ago(22 * minute),
      versions,
      aliases: { champion: '2', canary: '3' },
    },
    [`/blobs/sha256/${digest('ca4d')}`]: card,
  }
  for (const one of rollouts) answers[`/api/v1/rollouts/${one.id}`] = one
  for (const one of versions) answers[`/api/v1/models/${model}/versions/${one.version}`] = { ...one, release }
  for (const device of devices) {
    answers[`/api/v1/devices/${device.id}`] = {
      ...device,
      drift: drift.filter(({ deviceId }) => deviceId === device.id).reverse(),
    }
    answers[`/api/v1/devices/${device.id}/windows`] = list([...windows].reverse())
    answers[`/api/v1/devices/${device.id}/completeness`] = {
      sentence: '327 records stored; 1 not here yet: in the spool of the device, or on its way.',
      spool: { at: now - 60_000, records: 3, bytes: 2_048 },
      outages: [{ at: now - 90_000, slot: 'default', windowsDropped: 2, eventsDropped: 0 }],
      items: [
        {
          session: 'b2d0c6f1-5f0a',
          stream: 'window',
          contiguous: 312,
          highest: 312,
          stored: 312,
          duplicates: 4,
          rejected: 0,
          dropped: [
            {
              first: 40,
              last: 44,
              reason: 'too_old',
              because: 'dropped by the device: older than its spool keeps records',
              slots: [{ slot: 'default', from: now - 400_000, to: now - 300_000 }],
            },
          ],
          missing: [],
          forgotten: 0,
        },
        {
          session: 'b2d0c6f1-5f0a',
          stream: 'event',
          contiguous: 14,
          highest: 16,
          stored: 15,
          duplicates: 0,
          rejected: 0,
          dropped: [],
          missing: [{ first: 15, last: 15, reason: 'awaited' }],
          forgotten: 0,
        },
      ],
    }
  }
  return answers
}
