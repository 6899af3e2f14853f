import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Hub } from '@godwit/hub/wiring'
import { goalOf } from '../hub/mqtt/test-device.ts'
import { newHub } from '../hub/support/new-hub.ts'
import { type SeededFleet, seedFleet } from '../support/seeded-fleet.ts'
import type { HerdTask } from './herd-devices.ts'
import type { Figure } from './main.ts'

const devicesCount = Number(process.env['GODWIT_BENCH_FLEET'] ?? 1_000)

/**
 * What a fleet costs its hub: CPU time of the hub's process, read against a fleet of a tenth in the same run, so that a
 * cost per device that grows with the fleet shows as such. The devices live in a process of their own.
 *
 * - `hub.herdMs`: a device that comes back after a restart of the hub, until its window is acked;
 * - `hub.pushMs`: a device that gets a new directive and reports, all at the same moment;
 * - `hub.startMs`: a start of the hub, for each device that it knows;
 * - `hub.herdSeconds`: until all of them are acked, by the clock; the baseline is what they were asked to spread over;
 * - `hub.overviewMs`, `hub.driftMs`, `hub.devicesMs`: one request of the dashboard; `hub.tickMs`: a rollout to them all.
 */
export async function benchHub(): Promise<Record<string, Figure>> {
  const small = await costsOf(Math.ceil(devicesCount / 10))
  const large = await costsOf(devicesCount)
  const named = (name: keyof typeof large, unit: string): Record<string, Figure> => ({
    [`hub.${name}`]: { value: large[name], unit, baseline: small[name] },
  })
  return {
    ...named('herdMs', 'ms CPU a device'),
    ...named('pushMs', 'ms CPU a device'),
    ...named('startMs', 'ms CPU a device'),
    'hub.herdSeconds': {
      value: large.herdSeconds,
      unit: 's',
      baseline: `spread over ${large.spreadSeconds} s`,
    },
    ...named('overviewMs', 'ms CPU'),
    ...named('driftMs', 'ms CPU'),
    ...named('devicesMs', 'ms CPU'),
    ...named('tickMs', 'ms CPU'),
    ...named('rssMiB', 'MiB'),
  }
}

async function costsOf(count: number) {
  const box = await newHub()
  box.time.now = Date.now()
  const herd = fork(new URL('./herd-devices.ts', import.meta.url))
  try {
    const seeded = await seedFleet(box, { devices: count, windows: 3 })
    const first = await cpu(() => box.hub.start())
    await ask(herd, comeTo(box.hub, seeded, 10))
    const push = await cpu(async () => {
      const taken = ask(herd, { do: 'take', target: { ref: seeded.v2.ref } })
      const ids = seeded.devices.map(({ id }) => id)
      await box.hub.services.directives.setGoal(ids, 'default', goalOf(seeded.v2), { who: 'bench' })
      await taken
    })
    await box.hub.stop()
    const hub = await box.again()
    await hub.start()
    const back = await cpu(() => ask(herd, comeTo(hub, seeded, 11)))
    const looks = await dashboard(hub, box.adminToken, seeded)
    return {
      herdMs: back.ms / count,
      pushMs: push.ms / count,
      startMs: first.ms / count,
      herdSeconds: back.seconds,
      spreadSeconds: Math.max(2, (4 * count) / 1_000),
      ...looks,
      rssMiB: process.memoryUsage().rss / 2 ** 20,
    }
  } finally {
    herd.disconnect()
    await box.close()
  }
}

function comeTo(hub: Hub, { v1, devices }: SeededFleet, seq: number): HerdTask {
  return { do: 'come', url: hub.addresses.mqttUrl, count: devices.length, runs: { ref: v1.ref }, seq }
}

async function dashboard(hub: Hub, token: string, { v1 }: SeededFleet) {
  const headers = { authorization: `Bearer ${token}` }
  const get = async (url: string) => {
    const answer = await hub.http.inject({ url: `/api/v1${url}`, headers })
    if (answer.statusCode !== 200) throw new Error(`${url}: ${answer.body}`)
  }
  const warm = async (look: () => Promise<unknown>) => {
    await look()
    return (await cpu(look)).ms
  }
  const { rollouts } = hub.services
  const plan = { maxInFlight: 1, waves: [{ name: 'all', size: { rest: true as const } }] }
  const wish = { ...v1.ref, slot: 'other', selector: '', plan, draft: false }
  const made = await rollouts.create(wish, 'bench')
  if (!made.created) throw new Error(JSON.stringify(made))
  return {
    // The overview is answered from memory for half a second.
    overviewMs: (await cpu(() => get('/overview'))).ms,
    driftMs: await warm(() => get('/drift?limit=200')),
    devicesMs: await warm(() => get('/devices?select=site%3Ds7')),
    tickMs: await warm(() => rollouts.tick()),
  }
}

async function ask(herd: ChildProcess, task: HerdTask): Promise<void> {
  herd.send(task)
  const [answer] = (await once(herd, 'message')) as [{ error?: string }]
  if (answer.error !== undefined) throw new Error(answer.error)
}

async function cpu(work: () => Promise<unknown>): Promise<{ ms: number; seconds: number }> {
  const before = process.cpuUsage()
  const startedAt = performance.now()
  await work()
  const { user, system } = process.cpuUsage(before)
  return { ms: (user + system) / 1_000, seconds: (performance.now() - startedAt) / 1_000 }
}
