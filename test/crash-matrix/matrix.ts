import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Outcome } from './cell.ts'
import { Lane, listPlaces, makeTemplate, type Template } from './lane.ts'
import { type Cell, canBefall, faults, isDistinct, type Place, refusedWhenFull } from './places.ts'
import { sampleOf } from './sample.ts'
import { stories } from './stories.ts'
import type { Engine } from './victim-messages.ts'
import type { FromWorker, Job, ToWorker } from './worker-messages.ts'

export type MatrixOptions = {
  workers: number
  /** Cells that a worker lives side by side. */
  lanes: number
  /** With ONNX Runtime in the runner: of a thousand cells, how many more are lived with it. */
  onnxPerMille: number
  /** Refuses the pages in the middle of a commit as well. */
  every?: boolean
  /** Picks the cells to live; all of them if absent. */
  choose?: (cells: readonly Cell[]) => readonly Cell[]
  onListed?: (places: readonly Place[], cells: readonly Cell[]) => void
  onOutcome?: (outcome: Outcome, done: number, total: number) => void
}

export type Matrix = { places: readonly Place[]; cells: number; outcomes: Outcome[] }

type Life = { template: Template | undefined; fullPaths: string[] }

/** Lists every call of every story, then lives the cells. */
export async function runMatrix(options: MatrixOptions): Promise<Matrix> {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-crash-matrix-'))
  const remove = () => rmSync(directory, { recursive: true, force: true })
  process.once('exit', remove)
  const lane = new Lane(join(directory, 'listing'))
  try {
    const lives = new Map<string, Life>()
    const places: Place[] = []
    const { every = false, onnxPerMille } = options
    const cells: Record<Engine, Cell[]> = { light: [], onnx: [] }
    for (const engine of onnxPerMille > 0 ? (['light', 'onnx'] as const) : (['light'] as const))
      for (const story of stories) {
        const template = await makeTemplate(lane, story, engine)
        const found = await listPlaces(lane, story, engine, template)
        const refused = found.filter(({ call }) => refusedWhenFull.includes(call))
        lives.set(`${story.name} ${engine}`, {
          template,
          fullPaths: [...new Set(refused.map(({ path }) => path))],
        })
        if (engine === 'light') places.push(...found)
        for (const place of found)
          for (const fault of faults)
            if (canBefall(fault, place) && (every || isDistinct(fault, place)))
              cells[engine].push({ place, fault, engine })
      }
    const onnx = sampleOf(cells.onnx, Math.ceil((cells.light.length * onnxPerMille) / 1000), 1)
    const all = [...cells.light, ...onnx]
    const chosen = options.choose?.(all) ?? all
    options.onListed?.(places, chosen)
    const outcomes = await liveAll(directory, chosen, lives, options)
    return { places, cells: all.length, outcomes }
  } finally {
    await lane.close()
    process.off('exit', remove)
    remove()
  }
}

async function liveAll(
  directory: string,
  cells: readonly Cell[],
  lives: ReadonlyMap<string, Life>,
  { workers, lanes, onOutcome }: MatrixOptions,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const waiting = [...cells]
  const children = Array.from({ length: workers }, () => startWorker())
  const pool = children.flatMap((worker, w) =>
    Array.from({ length: lanes }, (_, l) => worker.lane(w * lanes + l)),
  )
  try {
    await Promise.all(
      pool.map(async (live) => {
        for (let cell = waiting.shift(); cell; cell = waiting.shift()) {
          const { template, fullPaths } = lives.get(`${cell.place.story} ${cell.engine}`)!
          const job = { directory, cell, fullPaths, ...(template && { template }) }
          let outcome = await live(job)
          // Two runs are never quite alike; the second one mostly makes the call that the first did not.
          if (outcome.course === 'missed') outcome = await live(job)
          outcomes.push(outcome)
          onOutcome?.(outcome, outcomes.length, cells.length)
        }
      }),
    )
  } finally {
    await Promise.all(children.map((worker) => worker.close()))
  }
  return outcomes
}

type Live = (job: Omit<Job, 'type' | 'lane'>) => Promise<Outcome>

function startWorker(): { lane: (number: number) => Live; close: () => Promise<void> } {
  const child: ChildProcess = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const waiting = new Map<number, { resolve: (outcome: Outcome) => void; reject: (error: Error) => void }>()
  child.on('message', (message: FromWorker) => {
    const lane = waiting.get(message.lane)
    waiting.delete(message.lane)
    if (message.type === 'lived') lane?.resolve(message.outcome)
    else lane?.reject(new Error(message.because))
  })
  child.once('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`a worker ended: ${signal ?? code}`))
  })
  const send = (message: ToWorker) => child.send(message, () => {})
  return {
    lane: (number) => (job) =>
      new Promise((resolve, reject) => {
        waiting.set(number, { resolve, reject })
        send({ type: 'live', lane: number, ...job })
      }),
    async close() {
      if (child.connected) send({ type: 'close' })
      await exited
    },
  }
}
