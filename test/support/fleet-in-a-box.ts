import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readingsOf } from '@godwit/sample-sensor-fleet/demo/accounts'
import { eventually as waitFor } from '@godwit/sample-sensor-fleet/demo/checks'
import { Observer, type RolloutView } from '@godwit/sample-sensor-fleet/demo/observe'
import { freePort, type MoteDevice, Stage } from '@godwit/sample-sensor-fleet/demo/stage'
import { identityFiles, writeFiles } from './identity-bundle.ts'
import { auditOf, type SequenceAudit } from './sequence-audit.ts'

/** Within a test's own time, so that a hang says what it waited for. */
export const eventually: typeof waitFor = (what, look, options) =>
  waitFor(what, look, { withinMs: 50_000, ...options })

type Status = {
  slots: Record<string, { source: { pass: number; index: number } | null }>
  spool: { streams: Record<string, { next: number }> }
}

/** Readings in the synthetic recording; played in a loop. */
const recordingLength = 1_000
const intervalMs = 5
export const model = 'identity'

const wave = { soakMs: 300, minSample: 20, successShare: 1, deadlineMs: 60_000, gates: [] }
const haste = { probation: { durationMs: 300, inferences: 20 }, windowMs: 600 }
export const allAtOnce = { ...haste, waves: [{ ...wave, name: 'all', size: { rest: true } }] }
export const oneThenRest = {
  ...haste,
  waves: [
    { ...wave, name: 'canary', size: { count: 1 } },
    { ...wave, name: 'rest', size: { rest: true } },
  ],
}

/**
 * The sample's stage with a fleet that is small and in a hurry: a real hub and real agents in processes of their own,
 * a model that answers what it is given, and plans whose waves take a second.
 */
export class FleetInABox {
  readonly directory = mkdtempSync(join(tmpdir(), 'godwit-box-'))
  readonly stage = new Stage(this.directory)
  #observe: Observer | undefined
  /** A hook that took too long leaves nobody who could close the box. */
  readonly #abandon = () => this.stage.killAll()

  private constructor() {
    process.once('exit', this.#abandon)
  }

  static async open(): Promise<FleetInABox> {
    const box = new FleetInABox()
    try {
      // Below the ports that systems hand out by themselves, and apart for tests that run beside each other.
      const wanted = 10_000 + Math.floor(Math.random() * 10_000) * 2
      await box.stage.startHub(await freePort(wanted), wanted + 1)
      box.#observe = new Observer(box.stage.hub)
      await box.stage.godwit('model', 'create', model)
      return box
    } catch (error) {
      await box.close()
      throw error
    }
  }

  get observe(): Observer {
    return this.#observe!
  }

  get devices(): MoteDevice[] {
    return this.stage.devices
  }

  async addDevice(
    mote: number,
    placement: 'indoor' | 'outdoor' = 'indoor',
    options: { via?: 'mqtt' | 'http' } = {},
  ): Promise<MoteDevice> {
    const recording = join(this.directory, 'recording.csv')
    const rows = Array.from({ length: recordingLength }, (_, i) => `${40 + (i % 10)},${20 + (i % 7)}`)
    writeFileSync(recording, `humidity,temperature\n${rows.join('\n')}\n`)
    const device = await this.stage.startDevice(mote, placement, recording, intervalMs, options)
    // A rollout means the devices that have joined when it is made.
    await Promise.race([this.isOnline(device), endOf(device)])
    return device
  }

  /** Through the command line, with the publisher's key. */
  async publish(version: string, files: Record<string, string | Uint8Array> = {}): Promise<void> {
    await this.stage.godwit(...this.publishArguments(version, { ...identityFiles, ...files }))
  }

  publishArguments(
    version: string,
    files: Readonly<Record<string, string | Uint8Array>>,
    key = join(this.stage.keyDirectory, 'targets.key.json'),
  ): string[] {
    const directory = writeFiles(join(this.directory, 'bundles', version), files)
    const passphrase = ['--passphrase-file', this.stage.passphraseFile]
    return ['version', 'publish', directory, `${model}@${version}`, '--key', key, ...passphrase]
  }

  async rollout(version: string, plan: object, ...more: string[]): Promise<string> {
    const made = await this.stage.godwit<{ id: string }>(...this.rolloutArguments(version, plan, ...more))
    return made.id
  }

  rolloutArguments(version: string, plan: object, ...more: string[]): string[] {
    const file = join(this.directory, `plan-${version}.yaml`)
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(plan))
    return ['rollout', 'create', `${model}@${version}`, '--plan', file, ...more]
  }

  /** The rollout in that phase; fails at once when it has ended otherwise. */
  async inPhase(id: string, phase: string): Promise<RolloutView> {
    const seen = await eventually(`rollout ${id} to be ${phase}`, async () => {
      const now = await this.observe.rollout(id)
      const isOver = ['completed', 'aborted', 'rolled_back'].includes(now.phase)
      return now.phase === phase || isOver ? now : undefined
    })
    if (seen.phase !== phase) throw new Error(`expected ${phase}, found ${seen.phase}: ${seen.sentence}`)
    return seen
  }

  /** Every device has committed that version. */
  async allRun(version: string, devices = this.devices): Promise<void> {
    for (const device of devices)
      await eventually(`${device.id} to run ${version}`, async () => {
        const slot = (await this.observe.device(device.id)).report?.slots['default']
        return slot?.phase === 'committed' && slot.active?.version === version
      })
  }

  async isOnline(device: MoteDevice): Promise<void> {
    await eventually(
      `${device.id} to be online`,
      async () => (await this.observe.device(device.id)).status === 'online',
    )
  }

  /** Readings that the hub has counted and readings that the device has taken, at one moment. */
  readings(device: MoteDevice): Promise<{ counted: number; read: number }> {
    return readingsOf({ stage: this.stage, observe: this.observe }, device, recordingLength)
  }

  /** Of everything that the device has stored by now, at the hub as soon as it is there, or when it does not come. */
  async audit(device: MoteDevice): Promise<SequenceAudit> {
    const account = await eventually(`${device.id} to have something to account for`, async () => {
      const { spool, slots } = await this.stage.deviceStatus<Status>(device)
      const { pass, index } = slots['default']?.source ?? { pass: 0, index: 0 }
      const next = Object.fromEntries(Object.entries(spool.streams).map(([name, one]) => [name, one.next]))
      return { next, readings: pass * recordingLength + index }
    })
    const arrived = async () => {
      const streams = await this.observe.streams(device.id)
      return Object.entries(account.next).every(
        ([name, next]) => (streams.find(({ stream }) => stream === name)?.contiguous ?? 0) >= next - 1,
      )
    }
    await eventually(`the hub to have everything of ${device.id}`, arrived, { everyMs: 100 }).catch(() => {})
    const [streams, windows, events] = await Promise.all([
      this.observe.streams(device.id),
      this.observe.windows(device.id),
      this.observe.events(device.id),
    ])
    const timed = windows.map((window) => ({ ...window, start: Date.parse(window.start) }))
    return auditOf(account, { streams, windows: timed, events })
  }

  async close(): Promise<void> {
    await this.stage.stop()
    process.off('exit', this.#abandon)
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Rejects when the agent's process ends: waiting for it any longer would only hide why. */
async function endOf(device: MoteDevice): Promise<never> {
  const { program, directory } = device
  const code = await program.ended
  const log = readFileSync(join(directory, '..', 'logs', `${device.id}.log`), 'utf8')
  throw new Error(`${device.id} ended with ${code}: ${log.slice(-2_000)}`)
}
