import { join } from 'node:path'
import { type Endings, judge } from './judge.ts'
import type { Lane, Scene, Template } from './lane.ts'
import { type Cell, type Fault, refusedWhenFull } from './places.ts'
import { endingOf, type Story } from './stories.ts'
import { type Call, Tracer } from './trace.ts'
import type { Victim } from './victim-process.ts'

/**
 * How a cell went, apart from right or wrong:
 *
 * - `missed`: this run did not make the call, so nothing was proved
 * - `restarted`: killed, or ended by itself with a message, and right after the next start
 * - `itself`: the same process came to the right end
 * - `after restart`: the process served on, and the deployment went on after the next start
 * - `no start`: harmed before anything served, the agent said why and ended, as a supervisor expects; right afterwards
 */
export type Course = 'missed' | 'restarted' | 'itself' | 'after restart' | 'no start'

export type Outcome = {
  cell: Cell
  course: Course
  /** Something was logged as a warning or an error between the harm and the end of it. */
  said: boolean
  /** The ending of the deployment, such as `committed ok`. */
  ending: string
  wrong: string[]
  /** What the harmed agent said, for whoever has to find out why. */
  log: string[]
}

/** Longer than any wait of the agent, which the victim shortens to a tenth: longer is stuck. */
const itselfMs = 12_000
const answerMs = 30_000
/** How long a full disk stays full after the agent has first complained of it. */
const fullMs = 600

export async function liveCell(
  lane: Lane,
  story: Story,
  template: Template | undefined,
  cell: Cell,
  fullPaths: readonly string[],
): Promise<Outcome> {
  const scene = await lane.begin(story, template, cell.engine)
  try {
    const outcome = await harmed(lane, scene, cell, fullPaths)
    if (outcome.course === 'missed') return outcome
    const end = await unharmed(lane, scene)
    const wrong = [...outcome.wrong, ...end]
    if (end.length === 0) wrong.push(...judge(scene, endingsOf(story, cell)))
    // A single failure may heal in the same breath; a disk that stays full must be told of by somebody.
    if (cell.fault === 'ENOSPC' && !outcome.said && cell.place.phase !== 'stopping')
      wrong.push('nobody said that the disk is full')
    const slot = scene.hub.hub.slot
    return { ...outcome, ending: `${slot?.phase} ${slot?.code}`, wrong }
  } finally {
    await scene.close()
  }
}

function endingsOf(story: Story, { fault, engine }: Cell): Endings {
  const right = endingOf(story, engine)
  // A disk that stays full may end an update for that reason; the next directive tries it again.
  return fault === 'ENOSPC' ? [right, { phase: 'refused', code: 'no_space' }] : [right]
}

async function harmed(lane: Lane, scene: Scene, cell: Cell, fullPaths: readonly string[]): Promise<Outcome> {
  const { place, fault } = cell
  const victim = await lane.victim()
  if (fault === 'KILL') lane.prepareSpare()
  const tracers = await attach(lane, victim, cell, fullPaths)
  const log: string[] = []
  const outcome: Outcome = { cell, course: 'itself', said: false, ending: '', wrong: [], log }
  await scene.start()
  const keepLog = () => {
    log.push(
      ...victim.said.map(({ level, message, fields }) => `${level} ${message} ${JSON.stringify(fields)}`),
    )
    outcome.said ||= victim.said.some(({ level }) => level === 'warn' || level === 'error')
  }

  const isHeldUp = () => fault === 'ENOSPC' && victim.said.some((one) => complains(one))
  await scene.until(victim, () => scene.isQuiet || isHeldUp(), fault === 'KILL' ? answerMs : itselfMs)
  if (fault === 'ENOSPC' && !scene.isQuiet) await scene.until(victim, () => scene.isQuiet, fullMs)
  if (
    scene.story.before.length > 0 &&
    !victim.isGone &&
    victim.state === 'running' &&
    place.phase !== 'stopping'
  )
    await serves(scene, victim, outcome)

  // The stop is part of the story, so the harm may still come.
  let ended: Awaited<ReturnType<Scene['stop']>> | undefined
  if (scene.isQuiet || place.phase === 'stopping') {
    keepLog()
    ended = await scene.stop(victim)
  }
  const calls = (await Promise.all(tracers.map((tracer) => tracer.end()))).flat()
  if (!wasHit(fault, calls, victim)) {
    keepLog()
    if (!ended) await scene.stop(victim)
    return { ...outcome, course: 'missed' }
  }
  if (victim.isGone) {
    keepLog()
    if (fault !== 'KILL') outcome.wrong.push(`the control process ended: ${victim.exit}`)
    return { ...outcome, course: 'restarted' }
  }
  if (victim.state === 'start-failed') {
    log.push(`start failed: ${victim.because}`)
    outcome.said = true
    return { ...outcome, course: 'no start' }
  }
  if (ended === undefined) {
    const itself = await scene.until(victim, () => scene.isQuiet, itselfMs)
    keepLog()
    if (!itself) outcome.course = 'after restart'
    ended = await scene.stop(victim)
  }
  keepLog()
  if (ended === 'stop-failed') log.push(`stop failed: ${victim.because}`)
  if (ended === 'hangs' || ended === 'gone')
    outcome.wrong.push(`stopping: the process ${ended} ${victim.exit ?? ''}`)
  if (ended === 'hangs') await victim.kill()
  return outcome
}

/** The last start of every cell: nothing is in its way. */
async function unharmed(lane: Lane, scene: Scene): Promise<string[]> {
  const victim = await lane.victim()
  await scene.start()
  const came = await scene.until(victim, () => scene.isQuiet, answerMs)
  if (!came) {
    const { slot } = scene.hub.hub
    const because = victim.because || victim.exit || `it is ${slot?.phase} and answered ${slot?.answered}`
    const said = victim.said.filter(({ level }) => level !== 'debug').slice(-4)
    await victim.kill()
    return [
      `started again, it does not come to an end: ${because}; ${said.map((one) => JSON.stringify(one)).join(' ')}`,
    ]
  }
  const runners = victim.children.length
  const ended = await scene.stop(victim)
  return [
    ...(runners === 1 ? [] : [`${runners} runners are alive, expected one`]),
    ...(ended === 'stopped' ? [] : [`stopping after the unharmed start: ${ended} ${victim.because}`]),
  ]
}

async function attach(
  lane: Lane,
  victim: Victim,
  { place, fault }: Cell,
  fullPaths: readonly string[],
): Promise<Tracer[]> {
  const at = (path: string) => ['-P', path === '.' ? lane.stateDir : join(lane.stateDir, path)]
  if (fault !== 'ENOSPC') {
    const harm = fault === 'KILL' ? 'signal=SIGKILL' : 'error=EIO'
    const options = [
      ...['-e', `trace=${place.call}`, '-e', `inject=${place.call}:${harm}:when=${place.nth}`],
      ...at(place.path),
    ]
    const tid = place.thread === 'main' ? victim.main : victim.pool
    return [await Tracer.attach([tid], lane.logPath, options)]
  }
  // Both threads meet the full disk at the same moment of the story, each counted by its own calls.
  return Promise.all(
    (['main', 'pool'] as const).map((thread) => {
      // Directories that exist are "made" all the time, which no disk refuses.
      const calls = refusedWhenFull.filter((call) => call !== 'mkdir' || place.call === 'mkdir')
      const inject = calls.flatMap((call) => [
        '-e',
        `inject=${call}:error=ENOSPC:when=${(place.before[thread][call] ?? 0) + 1}+`,
      ])
      const options = ['-e', `trace=${calls.join(',')}`, ...inject, ...fullPaths.flatMap(at)]
      return Tracer.attach([victim[thread]], `${lane.logPath}-${thread}`, options)
    }),
  )
}

function wasHit(fault: Fault, calls: readonly Call[], victim: Victim): boolean {
  return fault === 'KILL' ? victim.exit === 'SIGKILL' : calls.some(({ injected }) => injected)
}

function complains({ level }: { level: string }): boolean {
  return level === 'warn' || level === 'error'
}

/** Whatever the disk does: the newest runner that was said to serve is alive. */
async function serves(scene: Scene, victim: Victim, outcome: Outcome): Promise<void> {
  const isAlive = () => {
    const serving = victim.said.findLast(({ message }) => message === 'serving')
    return serving !== undefined && victim.children.includes(Number(serving.fields['pid']))
  }
  if (!isAlive() && !(await scene.until(victim, isAlive, itselfMs)) && !victim.isGone)
    outcome.wrong.push('no model was being served while the harm lasted')
}
