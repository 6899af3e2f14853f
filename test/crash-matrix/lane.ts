import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { now } from '../support/tuf-repository.ts'
import { MatrixHub } from './matrix-hub.ts'
import { type Place, placesIn } from './places.ts'
import { publish, type Story } from './stories.ts'
import { changingCalls, openingCalls, readingCalls, Tracer } from './trace.ts'
import type { Engine, RunOrder } from './victim-messages.ts'
import { Victim } from './victim-process.ts'

/** A life that ended: a state directory and what the hub knew of it. */
export type Template = { stateDir: string; memory: MatrixHub['memory'] }

const windowsPerStart = 6
const offMs = 300_000

/** For the real runner, long enough that no cell reaches its end: the light one counts for itself. */
const readingMs = 5
const recordingLength = 20_000

function recording(): string {
  const rows = Array.from({ length: recordingLength }, (_, i) => `${i % 97},${(i % 89) / 2}`)
  return `humidity,temperature\n${rows.join('\n')}\n`
}

/**
 * One place where cells are lived, one after the other: a directory, a hub for each cell, and a process that is kept as
 * long as nothing kills it.
 */
export class Lane {
  readonly directory: string
  readonly stateDir: string
  readonly #recording: string
  #victim: Victim | undefined
  #spare: Promise<Victim> | undefined

  constructor(directory: string) {
    this.directory = directory
    this.stateDir = join(directory, 'state')
    mkdirSync(directory, { recursive: true })
    this.#recording = join(directory, 'recording.csv')
    writeFileSync(this.#recording, recording())
  }

  get logPath(): string {
    return join(this.directory, 'trace')
  }

  /** A process that lives; the next one is being loaded meanwhile, for the case that this one does not for long. */
  async victim(): Promise<Victim> {
    if (!this.#victim || this.#victim.isGone) {
      this.#victim = await (this.#spare ?? Victim.start())
      this.#spare = undefined
    }
    return this.#victim
  }

  prepareSpare(): void {
    this.#spare ??= Victim.start()
  }

  async close(): Promise<void> {
    await this.#victim?.kill()
    await (await this.#spare)?.kill()
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** A copy of the life before the story, and a hub that takes it up where the other hub left off. */
  async begin(story: Story, template: Template | undefined, engine: Engine): Promise<Scene> {
    rmSync(this.stateDir, { recursive: true, force: true })
    const hub = await MatrixHub.start(template?.memory)
    if (template) {
      cpSync(template.stateDir, this.stateDir, { recursive: true, preserveTimestamps: true })
      // The addresses of this hub; the identity stays.
      const answer = await (await fetch(`${hub.hub.url}/api/v1/enrol`, { method: 'POST' })).text()
      writeFileSync(join(this.stateDir, 'enrolment.json'), `${answer}\n`)
    }
    for (const name of story.before) hub.hub.direct(publish(hub, name, engine))
    const goal = publish(hub, story.asked, engine)
    const directiveVersion = hub.hub.direct(goal)
    return new Scene(this, hub, directiveVersion, story, engine)
  }

  order(hub: MatrixHub, engine: Engine, nowMs: number): RunOrder {
    return {
      stateDir: this.stateDir,
      token: hub.hub.joinToken,
      engine,
      nowMs,
      source: { kind: 'replay', path: this.#recording, intervalMs: readingMs },
    }
  }
}

/** One cell's device and hub, and what can be waited for. */
export class Scene {
  readonly lane: Lane
  readonly hub: MatrixHub
  readonly directiveVersion: number
  readonly story: Story
  readonly engine: Engine
  #windowsAtStart = 0
  #starts: number

  constructor(lane: Lane, hub: MatrixHub, directiveVersion: number, story: Story, engine: Engine) {
    this.lane = lane
    this.hub = hub
    this.directiveVersion = directiveVersion
    this.story = story
    this.engine = engine
    // The life before had one.
    this.#starts = story.before.length
  }

  get hasAnswered(): boolean {
    return (this.hub.hub.slot?.answered ?? 0) >= this.directiveVersion
  }

  /** Everything that the runner of this start has to send has come. */
  get isQuiet(): boolean {
    const active = this.hub.hub.slot?.active?.releaseDigest
    const fresh = this.hub.hub.windows.slice(this.#windowsAtStart)
    const other = fresh.findLastIndex(({ releaseDigest }) => releaseDigest !== active)
    return this.hasAnswered && fresh.length - 1 - other >= windowsPerStart
  }

  async start(): Promise<Victim> {
    const victim = await this.lane.victim()
    this.#windowsAtStart = this.hub.hub.windows.length
    // A device is off for a few minutes between two starts.
    victim.run(this.lane.order(this.hub, this.engine, now + offMs * this.#starts++))
    return victim
  }

  /** True when it came true; false after that time, or when the victim is gone or did not start. */
  async until(victim: Victim, isTrue: () => boolean, limitMs: number): Promise<boolean> {
    const isOver = () => isTrue() || victim.isGone || victim.state === 'start-failed'
    const heard = this.hub.hub.until(isOver, limitMs).catch(() => {})
    await Promise.race([heard, victim.until(isOver, limitMs)])
    return isTrue()
  }

  async stop(victim: Victim, limitMs = 20_000): Promise<'stopped' | 'stop-failed' | 'gone' | 'hangs'> {
    if (victim.isGone) return 'gone'
    victim.stop()
    const ends = () => victim.isGone || victim.state === 'stopped' || victim.state === 'stop-failed'
    if (!(await victim.until(ends, limitMs))) return 'hangs'
    return victim.isGone ? 'gone' : victim.state === 'stop-failed' ? 'stop-failed' : 'stopped'
  }

  async close(): Promise<void> {
    await this.hub.hub.stop()
  }
}

/** Lives a story's past, unharmed, in a lane of its own. */
export async function makeTemplate(lane: Lane, story: Story, engine: Engine): Promise<Template | undefined> {
  const [asked] = story.before
  if (asked === undefined) return undefined
  const past: Story = { ...story, before: [], asked, outcome: { phase: 'committed', code: 'ok' } }
  const scene = await lane.begin(past, undefined, engine)
  const victim = await scene.start()
  if (!(await scene.until(victim, () => scene.isQuiet, 30_000)))
    throw new Error(`the life before the story ${story.name} does not come to rest: ${victim.because}`)
  if (story.beforeEnded === 'killed') await victim.kill()
  else await scene.stop(victim)
  const stateDir = join(lane.directory, `before-${story.name}-${engine}`)
  rmSync(stateDir, { recursive: true, force: true })
  cpSync(lane.stateDir, stateDir, { recursive: true, preserveTimestamps: true })
  const { memory } = scene.hub
  await scene.close()
  return { stateDir, memory }
}

/** The unharmed run, every call of it on record. */
export async function listPlaces(
  lane: Lane,
  story: Story,
  engine: Engine,
  template?: Template,
): Promise<Place[]> {
  const scene = await lane.begin(story, template, engine)
  const victim = await lane.victim()
  const { main, pool } = victim
  const names = [...changingCalls, ...openingCalls, ...readingCalls, 'access'].join(',')
  const tracer = await Tracer.attach([main, pool], lane.logPath, ['-e', `trace=${names}`])
  await scene.start()
  if (!(await scene.until(victim, () => scene.isQuiet, 30_000)))
    throw new Error(`the unharmed story ${story.name} does not end: ${victim.because || victim.exit}`)
  await scene.stop(victim)
  const calls = await tracer.end()
  await scene.close()
  return placesIn(calls, story.name, lane.stateDir, { main, pool })
}
