import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathsIn } from '@godwit/agent/control/paths'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { runCommand } from '@godwit/sample-sensor-fleet/demo/processes'
import type { MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allAtOnce, eventually, FleetInABox, model } from '../support/fleet-in-a-box.ts'
import { largeModel } from '../support/identity-bundle.ts'

/*
 * A device on a mast without a link: the operator writes a stick at the hub, somebody climbs up with it, and the report
 * comes home when there is a link again.
 */

const require = createRequire(import.meta.url)
const agentBin = join(dirname(require.resolve('@godwit/agent/package.json')), 'bin', 'godwit-agent.mjs')

let box: FleetInABox
let mast: MoteDevice
let sticks: string
let stick: string
const onnx = largeModel(300_000)

beforeAll(async () => {
  box = await FleetInABox.open()
  sticks = mkdtempSync(join(tmpdir(), 'godwit-sticks-'))
  stick = join(sticks, 'good')
  mast = await box.addDevice(1)
  mast.link.cut()
  await box.publish('1', { 'model.onnx': onnx })
  await box.rollout('1', allAtOnce)
  await writeStick('1')
})
afterAll(async () => {
  await box?.close()
  rmSync(sticks, { recursive: true, force: true })
})

/** As soon as the hub's directive for the mast asks for that version. */
async function writeStick(version: string): Promise<void> {
  const order = ['bundle', 'export', `${model}@${version}`, '--out', stick, '--device', mast.id]
  await eventually('a directive that asks for the release', async () => {
    const { code, stdout } = await box.stage.tryGodwit(...order)
    return code === 0 && (JSON.parse(stdout) as { otherGoal: string[] }).otherGoal.length === 0
  })
}

type Slots = {
  slots: Record<
    string,
    { deployment: { phase: string; code?: string } | null; active: { version: string } | null }
  >
}
const slotOf = async (device: MoteDevice) => (await box.stage.deviceStatus<Slots>(device)).slots['default']
const importFrom = async (directory: string) => {
  const { code, stdout, stderr } = await runCommand(
    [agentBin, 'import', directory, '--config', mast.configFile],
    {},
  )
  return { code, stderr, said: code === 0 ? (JSON.parse(stdout) as Record<string, unknown>) : {} }
}
const mediumOf = (device: MoteDevice) => join(device.directory, 'state', 'medium')

/** A copy of the stick with one thing changed; the device must be as before. */
async function refused(name: string, spoil: (directory: string) => void): Promise<string> {
  const directory = join(sticks, name)
  cpSync(stick, directory, { recursive: true })
  spoil(directory)
  const { code, stderr } = await importFrom(directory)
  expect(code).toBe(4)
  expect(existsSync(mediumOf(mast))).toBe(false)
  return stderr
}

const blob = (directory: string, sha256: string) => join(directory, 'blobs', 'sha256', sha256)

describe('a stick that is not what the hub wrote', () => {
  test('with a model of other bytes is refused', async () => {
    const digest = sha256Hex(onnx)
    const lie = Uint8Array.from(onnx)
    lie[200_000] = lie[200_000]! ^ 1
    expect(await refused('lie', (at) => writeFileSync(blob(at, digest), lie))).toContain(
      'has the wrong digest',
    )
    expect(await refused('huge', (at) => truncateSync(blob(at, digest), 2 ** 32))).toContain(
      `its release names ${onnx.length}`,
    )
  })

  test('with metadata that nobody signed is refused', async () => {
    const said = await refused('metadata', (at) => {
      const name = readdirSync(join(at, 'metadata')).find((file) => file.endsWith('.targets.json'))!
      writeFileSync(join(at, 'metadata', name), '{"signed":{},"signatures":[]}')
    })
    expect(said).toMatch(/medium|metadata/)
  })

  test("with another device's directive under its name is refused", async () => {
    const said = await refused('directive', (at) => {
      const text = JSON.stringify({ signed: { deviceId: 'somebody' }, signatures: [] })
      writeFileSync(join(at, 'directives', `${mast.id}.json`), text)
    })
    expect(said).toContain('directive')
  })

  test('with a link to somewhere else is refused', async () => {
    expect(await refused('link', (at) => symlinkSync('/etc', join(at, 'directives', 'etc.json')))).toContain(
      'directives/etc.json is a symbolic link, expected a file',
    )
  })
})

test('installs on a device that runs and has no link, which reports it when it has one', async () => {
  const { code, said, stderr } = await importFrom(stick)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(said).toMatchObject({ deviceId: mast.id, releases: [{ model, version: '1' }] })
  await eventually('the mast to run 1', async () => (await slotOf(mast))?.active?.version === '1')
  await eventually('it to be committed', async () => (await slotOf(mast))?.deployment?.phase === 'committed')
  expect(existsSync(pathsIn(join(mast.directory, 'state')).blob(sha256Hex(onnx)))).toBe(true)
  await eventually('the space of the stick to be given back', async () => !existsSync(mediumOf(mast)))
  mast.link.restore()
  await box.allRun('1')
})

test('installs on a device that was off when it was imported', async () => {
  const last = largeModel(300_000, 2)
  mast.link.cut()
  await box.publish('2', { 'model.onnx': last })
  const id = await box.rollout('2', allAtOnce)
  await writeStick('2')
  await mast.program.stop()
  expect((await importFrom(stick)).said).toMatchObject({ releases: [{ version: '2' }] })
  box.stage.restartDevice(mast)
  await eventually('the mast to run 2', async () => (await slotOf(mast))?.active?.version === '2')
  mast.link.restore()
  await box.inPhase(id, 'completed')
})
