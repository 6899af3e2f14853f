import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { impostor } from '../impostor.ts'
import type { Mote } from '../motes.ts'
import { type TrainedVersion, trainVersion } from '../trainer.ts'
import { isDelivered, positionOf, readingsOf, spoolOf } from './accounts.ts'
import { writeBundle } from './bundle-directory.ts'
import { type Checks, eventually } from './checks.ts'
import { judgePass } from './kettle.ts'
import { bitFlipper } from './link.ts'
import type { DriftView, Observer, RolloutView } from './observe.ts'
import type { MoteDevice, Stage } from './stage.ts'

export const modelName = 'mote-anomaly'

/** What every chapter works with. */
export type Story = {
  stage: Stage
  observe: Observer
  motes: Mote[]
  checks: Checks
  tell: (text: string) => void
  startedAt: number
  /** Set by the first chapter: from `startedAt` until v1 served on every device. */
  firstInferenceSeconds?: number
  signal: AbortSignal
}

type Plan = Record<string, unknown>
const probation = { durationMs: 2_000, inferences: 100 }
const gates = [
  { metric: 'error_rate', max: 0.02 },
  { metric: 'p95_micros', max: 100_000 },
]
const common = { probation, windowMs: 1_000, maxInFlight: 4 }

const allAtOnce: Plan = {
  ...common,
  waves: [
    {
      name: 'all',
      size: { rest: true },
      soakMs: 1_000,
      minSample: 200,
      successShare: 1,
      deadlineMs: 90_000,
      gates,
    },
  ],
}
const canaryFirst: Plan = {
  ...common,
  waves: [
    {
      name: 'canary',
      size: { count: 1 },
      soakMs: 3_000,
      minSample: 300,
      successShare: 1,
      deadlineMs: 60_000,
      gates,
    },
    {
      name: 'rest',
      size: { rest: true },
      soakMs: 2_000,
      minSample: 200,
      successShare: 1,
      deadlineMs: 90_000,
      gates,
    },
  ],
}

/** 1. The indoor model goes to all four; each proves it and starts answering. */
export async function firstVersion(story: Story): Promise<void> {
  const { stage, observe, tell, checks } = story
  tell('1. A first model')
  const v1 = trainVersion(
    story.motes.filter((mote) => mote.place === 'indoor'),
    1,
  )
  tell(`trained v1 on motes 1 and 2: ${v1.metrics.trainingWindows} windows, ${v1.onnx.length} bytes of ONNX`)
  await stage.godwit(
    'model',
    'create',
    modelName,
    '--description',
    'Tells when a mote measures something that it never has',
  )
  await publish(story, v1, 'v1', v1.onnx)
  // A rollout means the devices that have joined when it is made.
  for (const { id } of stage.devices)
    await eventually(`${id} to join`, async () => (await observe.device(id)).status === 'online', story)
  for (const device of stage.devices) {
    await eventually(
      `${device.id} to join`,
      async () => (await observe.device(device.id)).status === 'online',
      story,
    )
  }
  tell(`${stage.devices.length} devices have joined, each with a key of its own`)
  const rollout = await createRollout(story, 'v1', allAtOnce)
  for (const device of stage.devices) {
    const runs = async () => (await observe.activeVersion(device.id)) === 'v1'
    await eventually(`${device.id} to answer with v1`, runs, { ...story, everyMs: 50 })
  }
  story.firstInferenceSeconds = (performance.now() - story.startedAt) / 1000
  tell(`v1 answers on all four, ${story.firstInferenceSeconds.toFixed(1)} s after the start`)
  for (const device of stage.devices) {
    const active = await eventually(
      `${device.id} to commit v1`,
      async () => {
        const slot = (await observe.device(device.id)).report?.slots['default']
        return slot?.phase === 'committed' && slot.active?.version === 'v1' ? slot.active : undefined
      },
      story,
    )
    tell(
      `${device.id} has proved v1 and runs it on ${active.executionProvider}; proof ${active.proof.slice(0, 12)}…`,
    )
  }
  const ended = await endOf(story, rollout)
  checks.add(
    'v1 runs on all four devices, each by its own proof',
    ended.phase === 'completed',
    ended.sentence,
  )
}

/** 2. Outdoors is not what v1 was signed for. */
export async function drift(story: Story): Promise<void> {
  const { stage, observe, tell, checks } = story
  tell('2. What the readings say about v1')
  const enough = 16
  const verdicts = await eventually(
    'drift verdicts on v1 from all devices',
    async () => {
      const all = await observe.drift('v1')
      return all.length === stage.devices.length && all.every((verdict) => verdict.windows >= enough)
        ? all
        : undefined
    },
    story,
  )
  for (const verdict of byDevice(verdicts)) tell(wordsOf(story, verdict))
  const isDrifting = (device: MoteDevice) => verdicts.find((v) => v.deviceId === device.id)?.state === 'alarm'
  const outdoor = stage.devices.filter((device) => device.placement === 'outdoor')
  const indoor = stage.devices.filter((device) => device.placement === 'indoor')
  checks.add(
    "both outdoor motes drift from v1's reference",
    outdoor.every(isDrifting),
    namesOf(outdoor.filter(isDrifting)),
  )
  checks.add(
    'no indoor mote does',
    !indoor.some(isDrifting),
    `drifting: ${namesOf(indoor.filter(isDrifting))}`,
  )
  const energy = await observe.energy()
  const row = energy.items.find((item) => item.inferences > 0)
  const figures = row && row.joules !== null && row.grams !== null && row.label !== null
  checks.add(
    'joules and grams carry their label',
    Boolean(figures),
    figures
      ? `${row.joules!.toFixed(1)} J, ${(row.grams! * 1000).toFixed(2)} mg CO2e for ${row.inferences} inferences, ${row.label}, ${Math.round((row.coverage ?? 0) * 100)} % covered (${energy.factor.zone} ${energy.factor.gramsPerKilowattHour} g/kWh, ${energy.factor.source})`
      : JSON.stringify(energy.items),
  )
}

/** 3. The better model: one canary, a soak, the rest. */
export async function betterVersion(story: Story): Promise<void> {
  const { stage, observe, tell, checks } = story
  tell('3. A better model, in waves')
  const v2 = trainVersion(story.motes, 2)
  tell(`trained v2 on all four motes: ${v2.metrics.trainingWindows} windows`)
  await publish(story, v2, 'v2', v2.onnx)
  // v2 is judged on whole days, so it begins with one: the recordings are shorter than the wait is long.
  await eventually(
    'the recordings to begin anew',
    async () => (await positionOf(story, stage.devices[0]!)).index < 400,
    story,
  )
  const rollout = await createRollout(story, 'v2', canaryFirst)
  const canary = await eventually(
    'the canary to be chosen',
    async () => {
      return (await observe.rolloutDevices(rollout)).find(
        (device) => device.wave === 0 && device.state !== 'pending',
      )
    },
    story,
  )
  const others = stage.devices.filter((device) => device.id !== canary.deviceId)
  await eventually(
    'the canary to run v2',
    async () => (await observe.activeVersion(canary.deviceId)) === 'v2',
    story,
  )
  const early = []
  for (const device of others) if ((await observe.activeVersion(device.id)) !== 'v1') early.push(device)
  checks.add(
    'the canary goes first, the others keep v1',
    early.length === 0,
    `${canary.deviceId} runs v2, ${namesOf(others)} v1`,
  )
  const ended = await endOf(story, rollout)
  checks.add('v2 reaches the rest after the soak', ended.phase === 'completed', ended.sentence)
  const passes = new Map<string, number>()
  for (const device of stage.devices) passes.set(device.id, (await positionOf(story, device)).pass + 1)
  tell('waiting for one whole recording under v2 on every mote')
  for (const device of stage.devices) {
    await eventually(
      `${device.id} to finish a recording under v2`,
      async () => {
        return (
          (await positionOf(story, device)).pass > passes.get(device.id)! &&
          (await isDelivered(story, device))
        )
      },
      story,
    )
  }
  const verdicts = await observe.drift('v2')
  for (const verdict of byDevice(verdicts)) tell(wordsOf(story, verdict))
  const quiet = verdicts.filter((verdict) => verdict.state === 'quiet')
  checks.add(
    'drift settles under v2',
    quiet.length === stage.devices.length,
    `${quiet.length} of ${stage.devices.length} quiet`,
  )
  let isFoundEverywhere = true
  const found: string[] = []
  for (const device of stage.devices) {
    const mote = story.motes.find((each) => each.id === device.mote)!
    const events = await observe.anomalies(device.id)
    const positions = events.flatMap((event) => String(event.detail['positions'] ?? '').split(','))
    const judged = judgePass(mote, passes.get(device.id)!, positions)
    if (judged.events > 0 && !judged.episodesFound) isFoundEverywhere = false
    found.push(
      `${device.id} ${judged.found} of ${judged.events} kettle readings, ${judged.falseAlarms} false alarms in ${judged.falseRuns} runs`,
    )
  }
  for (const line of found) tell(line)
  checks.add('the kettle is found on both motes it was held to', isFoundEverywhere, found.join('; '))
}

/** 4. Two releases that must not run: an impostor, and one that is changed on its way. */
export async function badVersions(story: Story): Promise<void> {
  const { stage, observe, tell, checks } = story
  tell('4. Two bad releases')
  const v2 = trainVersion(story.motes, 2)
  await publish(story, v2, 'v3', impostor(v2.pipeline))
  tell('published v3: validly signed, and it answers the same to everything')
  const third = await createRollout(story, 'v3', canaryFirst)
  const stopped = await eventually(
    'the rollout of v3 to stop',
    async () => {
      const seen = await observe.rollout(third)
      return seen.phase === 'paused' ? seen : undefined
    },
    story,
  )
  const refused = (await observe.rolloutDevices(third)).find((device) => device.state === 'failed')
  tell(`${refused?.deviceId}: ${refused?.code}, ${refused?.detail}`)
  checks.add(
    'the golden vectors refuse v3 on the canary',
    refused?.code === 'selftest_accuracy',
    `${refused?.deviceId ?? 'nobody'}: ${refused?.code ?? 'no refusal'}`,
  )
  checks.add('the rollout of v3 stops by itself', stopped.phase === 'paused', stopped.sentence)
  await checkAllRun(story, 'v2', 'the fleet stays on v2')
  await stage.godwit('rollout', 'abort', third, '--reason', 'v3 is an impostor')

  const v4 = trainVersion(story.motes, 4)
  await publish(story, v4, 'v4', v4.onnx)
  const flipper = bitFlipper([0.25, 0.5, 0.75].map((share) => pieceOf(v4.onnx, share)))
  for (const device of stage.devices) device.link.tamper(flipper.change)
  tell('published v4; every link now flips a bit of it on its way')
  const fourth = await createRollout(story, 'v4', canaryFirst)
  const halted = await eventually(
    'the rollout of v4 to stop',
    async () => {
      const seen = await observe.rollout(fourth)
      return seen.phase === 'paused' ? seen : undefined
    },
    story,
  )
  for (const device of stage.devices) device.link.tamper()
  const victim = (await observe.rolloutDevices(fourth)).find((device) => device.state === 'failed')
  checks.add(
    'v4, changed on its way, is refused before it loads',
    victim?.code === 'integrity' && flipper.flipped > 0,
    `${victim?.deviceId ?? 'nobody'}: ${victim?.code ?? 'no refusal'}; ${flipper.flipped} bits flipped; ${halted.sentence}`,
  )
  await checkAllRun(story, 'v2', 'the fleet still runs v2')
  await stage.godwit('rollout', 'abort', fourth, '--reason', 'v4 was changed on its way')
}

/** 5. A cut link and a killed process: nothing is lost and nothing is counted twice. */
export async function outage(story: Story): Promise<void> {
  const { stage, observe, tell, checks } = story
  tell('5. An outage')
  const device = stage.devices.at(-1)!
  device.link.cut()
  await eventually(
    `the hub to miss ${device.id}`,
    async () => (await observe.device(device.id)).status === 'offline',
    story,
  )
  tell(`cut the link of ${device.id}; the hub says it is offline`)
  const before = await spoolOf(story, device)
  await eventually(
    `${device.id} to fill its spool`,
    async () => (await spoolOf(story, device)).records >= before.records + 4,
    story,
  )
  device.program.signal('SIGKILL')
  await device.program.ended
  const held = await spoolOf(story, device)
  tell(`killed its process; ${held.records} records wait on its disk`)
  stage.restartDevice(device)
  await eventually(
    `${device.id} to measure again`,
    async () => (await spoolOf(story, device)).records >= held.records + 3,
    story,
  )
  device.link.restore()
  tell('restored the link')
  await eventually(
    `${device.id} to catch up`,
    async () => (await observe.device(device.id)).status === 'online' && (await isDelivered(story, device)),
    story,
  )
  for (const each of stage.devices)
    await eventually(`${each.id} to be up to date`, () => isDelivered(story, each), story)
  const streams = await observe.streams(device.id)
  const lost = streams.filter(
    (stream) => stream.missing.length > 0 || stream.dropped.length > 0 || stream.forgotten > 0,
  )
  const windows = streams.filter((stream) => stream.stream === 'window')
  checks.add(
    'no window of the outage is missing',
    lost.length === 0 && windows.length === 1 && windows[0]!.stored === windows[0]!.contiguous,
    windows.map((w) => `${w.stored} stored of ${w.highest}, ${w.duplicates} duplicates put aside`).join('; '),
  )
  const accounts: string[] = []
  let isEven = true
  for (const each of stage.devices) {
    const length = story.motes.find((mote) => mote.id === each.mote)!.readings.length
    const { counted, read } = await readingsOf(story, each, length)
    if (counted !== read) isEven = false
    accounts.push(`${each.id} ${counted} of ${read}`)
  }
  checks.add('every reading is counted once, through swaps, outage and kill', isEven, accounts.join(', '))
}

async function publish(
  story: Story,
  trained: TrainedVersion,
  version: string,
  onnx: Uint8Array,
): Promise<void> {
  const { stage } = story
  const directory = writeBundle(join(stage.directory, 'bundles', version), trained, onnx)
  const made = await stage.godwit<{ releaseDigest: string }>(
    'version',
    'publish',
    directory,
    `${modelName}@${version}`,
    ...['--key', join(stage.keyDirectory, 'targets.key.json'), '--passphrase-file', stage.passphraseFile],
  )
  const digest = createHash('sha256').update(onnx).digest('hex')
  story.tell(
    `published ${version}: release ${made.releaseDigest.slice(0, 12)}…, model ${digest.slice(0, 12)}…`,
  )
}

async function createRollout(story: Story, version: string, plan: Plan): Promise<string> {
  const file = join(story.stage.directory, `plan-${version}.yaml`)
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(plan))
  const made = await story.stage.godwit<{ id: string; sentence: string }>(
    'rollout',
    'create',
    `${modelName}@${version}`,
    '--plan',
    file,
  )
  story.tell(`rollout ${made.id.slice(-6)}: ${made.sentence}`)
  return made.id
}

/** Follows a rollout until it has ended or waits for a person, telling each new sentence. */
async function endOf(story: Story, id: string): Promise<RolloutView> {
  let told = ''
  return eventually(
    `rollout ${id} to end`,
    async () => {
      const seen = await story.observe.rollout(id)
      if (seen.sentence !== told) {
        told = seen.sentence
        story.tell(`  ${told}`)
      }
      return ['completed', 'paused', 'aborted', 'rolled_back'].includes(seen.phase) ? seen : undefined
    },
    story,
  )
}

async function checkAllRun(story: Story, version: string, name: string): Promise<void> {
  const running = await Promise.all(
    story.stage.devices.map(
      async (device) => `${device.id} ${(await story.observe.activeVersion(device.id)) ?? 'nothing'}`,
    ),
  )
  story.checks.add(
    name,
    running.every((line) => line.endsWith(` ${version}`)),
    running.join(', '),
  )
}

function byDevice(verdicts: DriftView[]): DriftView[] {
  return [...verdicts].sort((a, b) => a.deviceId.localeCompare(b.deviceId))
}

function wordsOf(story: Story, verdict: DriftView): string {
  const placement = story.stage.devices.find((device) => device.id === verdict.deviceId)?.placement
  const peak = verdict.peak > 1_000 ? 'over 1000' : verdict.peak.toFixed(1)
  return `${verdict.deviceId} (${placement}): ${verdict.state}, evidence ${peak} at its highest, alarm at ${verdict.threshold}, ${verdict.windows} windows`
}

/** A dozen bytes that stand that far into the file. */
function pieceOf(bytes: Uint8Array, share: number): Buffer {
  const at = Math.floor(bytes.length * share)
  return Buffer.from(bytes.subarray(at, at + 12))
}

function namesOf(devices: MoteDevice[]): string {
  return devices.map((device) => device.id).join(', ') || 'none'
}
