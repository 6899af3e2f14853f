import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCodes } from '@godwit/hub/cli/exit'
import type { MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allAtOnce, eventually, FleetInABox } from '../support/fleet-in-a-box.ts'

let box: FleetInABox
let mote: MoteDevice

beforeAll(async () => {
  box = await FleetInABox.open()
  const [device] = await Promise.all([box.addDevice(1), box.publish('1')])
  mote = device
  await box.inPhase(await box.rollout('1', allAtOnce), 'completed')
})
afterAll(() => box?.close())

test('an agent whose database is damaged puts it aside and serves what it served', async () => {
  await mote.program.stop()
  const state = join(mote.directory, 'state')
  for (const name of readdirSync(state)) if (/^agent\.db-/.test(name)) truncateSync(join(state, name), 0)
  const database = join(state, 'agent.db')
  const bytes = readFileSync(database)
  // A page in the middle, as a bad block leaves it.
  bytes.fill(0xa5, 4_096, 3 * 4_096)
  writeFileSync(database, bytes)
  const sessions = (await box.observe.streams(mote.id)).map(({ session }) => session)

  box.stage.restartDevice(mote)
  await eventually('windows of another session', async () =>
    (await box.observe.windows(mote.id)).some((window) => !sessions.includes(window.session)),
  )
  await box.allRun('1')
  const [aside] = readdirSync(state).filter((name) => /^agent\.db\.damaged-\d+$/.test(name))
  expect(readFileSync(join(state, aside!))).toEqual(bytes)
  // What it still had to send is gone with the file, and is not claimed to have come.
  await box.publish('2')
  await box.inPhase(await box.rollout('2', allAtOnce), 'completed')
  await box.allRun('2')
})

test('a hub whose database was cut off refuses to start, says why, and leaves the file as it is', async () => {
  await box.stage.hubProgram.stop()
  const state = join(box.directory, 'hub')
  const [name] = readdirSync(state).filter((file) => file.endsWith('.db'))
  const database = join(state, name!)
  const whole = readFileSync(database)
  truncateSync(database, Math.floor(whole.length / 2 / 4_096) * 4_096)
  const half = readFileSync(database)
  const before = readdirSync(state).sort()

  const run = ['hub', 'run', '--config', join(box.directory, 'hub.yaml')]
  const { code, stdout, stderr } = await box.stage.tryGodwit(...run)
  expect({ code, stdout }).toEqual({ code: exitCodes.failure, stdout: '' })
  const { error } = JSON.parse(stderr.trim().split('\n').at(-1)!) as {
    error: { code: string; message: string }
  }
  expect(error.code).toBe('store-corrupt')
  expect(error.message).toContain(database)
  expect(error.message).toMatch(/damaged.*Nothing was changed/)
  expect(readFileSync(database)).toEqual(half)
  expect(readdirSync(state).sort()).toEqual(before)

  writeFileSync(database, whole)
  await box.stage.runHub()
  await box.isOnline(mote)
  await box.allRun('2')
})
