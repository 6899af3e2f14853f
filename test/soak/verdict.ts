import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathsIn } from '@godwit/agent/control/paths'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { EventView } from '@godwit/sample-sensor-fleet/demo/observe'
import { wrongOnDisk } from '../crash-matrix/judge.ts'
import { eventually } from '../support/fleet-in-a-box.ts'
import { childrenOf, hasProc } from '../support/process-tree.ts'
import type { Published } from './releases.ts'
import type { Victim, World } from './world.ts'

/**
 * Endings that a good release may come to because of what was done to the device, and not to the release: a killed
 * runner looks like a crash, a full disk has no room, a clock that is years ahead sees everything expired, and a device
 * that was away too long is given up by the hub.
 */
const excuses = new Set([
  ...['probation_crash', 'selftest_crash', 'selftest_timeout', 'no_space', 'link_lost'],
  ...['expired_metadata', 'clock_untrusted', 'superseded', 'cancelled', 'internal'],
])
const due: Record<string, string> = { wrong: 'selftest_accuracy', slow: 'probation_latency' }

/** Every sentence is something that is wrong. `last` is the release that all devices run by now. */
export async function verdictOn(
  world: World,
  releases: readonly Published[],
  last: Published,
): Promise<string[]> {
  const wrong: string[] = []
  for (const victim of world.victims) {
    const { id } = victim.device
    const say = (sentences: readonly string[]) => wrong.push(...sentences.map((one) => `${id}: ${one}`))
    say(await wrongModel(world, victim, last))
    say(await wrongOutcomes(world, victim, releases))
    const { lost, duplicated, reordered, told } = await world.box.audit(victim.device)
    if (lost + duplicated + reordered + told > 0)
      say([`lost ${lost}, duplicated ${duplicated}, reordered ${reordered}, let go ${told}`])
  }
  for (const { device, stateDir } of world.victims) {
    await device.program.stop(30_000)
    wrong.push(...wrongOnDisk(stateDir).map((one) => `${device.id}: ${one}`))
    if (existsSync(join(stateDir, 'agent.lock'))) wrong.push(`${device.id}: the lock is still there`)
  }
  return wrong
}

/** Exactly one model, proved, and the same one by all accounts. */
async function wrongModel(world: World, { device, stateDir }: Victim, last: Published): Promise<string[]> {
  const wrong: string[] = []
  const slot = (await world.box.observe.device(device.id)).report?.slots['default']
  if (slot?.phase !== 'committed') wrong.push(`is ${slot?.phase} (${slot?.code}: ${slot?.detail})`)
  if (slot?.active?.version !== last.version) wrong.push(`reports version ${slot?.active?.version}`)
  if (!slot?.active?.proof) wrong.push('reports no proof')
  const pointer = JSON.parse(readFileSync(pathsIn(stateDir).pointer('default'), 'utf8')) as {
    active?: { releaseDigest: string; loadedDigest: string }
  }
  if (pointer.active?.releaseDigest !== last.releaseDigest)
    wrong.push(`its pointer file names ${pointer.active?.releaseDigest}`)
  const model = join(pathsIn(stateDir).root, 'releases', last.releaseDigest, 'bundle', 'model.onnx')
  if (sha256Hex(readFileSync(model)) !== slot?.active?.loadedDigest)
    wrong.push(`loaded ${slot?.active?.loadedDigest}, which is not the file on its disk`)
  if (hasProc)
    await eventually('one runner', async () => childrenOf(device.program.pid).length === 1).catch(() =>
      wrong.push(`has ${childrenOf(device.program.pid).length} runners`),
    )
  return wrong
}

/** What the rollouts say of each release, what the device's own events say, and that no bad model ever served. */
async function wrongOutcomes(
  world: World,
  { device: { id } }: Victim,
  releases: readonly Published[],
): Promise<string[]> {
  const wrong: string[] = []
  const events = await world.box.observe.events(id)
  const windows = await world.box.observe.windows(id)
  for (const { kind, version, releaseDigest, rolloutIds } of releases) {
    const what = `${kind} release ${version}`
    const failures = events.filter((one) => isFailureOf(one, releaseDigest))
    for (const rolloutId of rolloutIds) {
      const share = (await world.box.observe.rolloutDevices(rolloutId)).find(
        ({ deviceId }) => deviceId === id,
      )
      if (!share) continue
      const code = share.code ?? undefined
      if (code !== undefined && code !== due[kind] && !excuses.has(code))
        wrong.push(`${what} ended with ${code} (${share.detail})`)
      if (share.state === 'succeeded' && due[kind]) wrong.push(`${what} was committed`)
    }
    const codes = failures.map(({ detail }) => String(detail['code']))
    if (failures.length > rolloutIds.length)
      wrong.push(`${what}: ${failures.length} failures told (${codes})`)
    for (const code of codes)
      if (code !== due[kind] && !excuses.has(code)) wrong.push(`${what} failed with ${code}`)
    if (kind === 'wrong' && windows.some((window) => window.version === version))
      wrong.push(`${what} has served`)
  }
  return wrong
}

function isFailureOf({ kind, releaseDigest }: EventView, digest: string): boolean {
  return kind === 'deployment_failed' && releaseDigest === digest
}
