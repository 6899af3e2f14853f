import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { firstVersion, type Story } from '@godwit/sample-sensor-fleet/demo/chapters'
import { Checks } from '@godwit/sample-sensor-fleet/demo/checks'
import { Observer } from '@godwit/sample-sensor-fleet/demo/observe'
import { writeRecording } from '@godwit/sample-sensor-fleet/demo/recording'
import { Stage } from '@godwit/sample-sensor-fleet/demo/stage'
import { loadMotes } from '@godwit/sample-sensor-fleet/motes'
import type { Figure } from './main.ts'

/**
 * The first chapter of the story with real processes: how long until every device answers, and what each process holds.
 * Each device reads 100 values a second: a busy sensor, a machine at rest.
 */
export async function benchFootprint(): Promise<Record<string, Figure>> {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-bench-'))
  const stage = new Stage(directory)
  process.once('exit', () => stage.killAll())
  try {
    const startedAt = performance.now()
    const motes = loadMotes()
    await stage.startHub(undefined)
    for (const mote of motes) {
      await stage.startDevice(
        mote.id,
        mote.place,
        writeRecording(join(directory, `${mote.id}.csv`), mote),
        10,
      )
    }
    const story: Story = {
      stage,
      observe: new Observer(stage.hub),
      motes,
      checks: new Checks(() => {}),
      tell: () => {},
      startedAt,
      signal: new AbortController().signal,
    }
    await firstVersion(story)
    const seconds = story.firstInferenceSeconds ?? Number.NaN
    const bare = await bareNodeMiB()
    const agents = stage.devices.map((device) => device.program.pid)
    return {
      'start.firstInferenceSeconds': {
        value: seconds,
        unit: 's',
        baseline: 'npm start, installed, to v1 answering on four devices',
      },
      'rss.hubMiB': { value: rssMiB(stage.hubProgram.pid), unit: 'MiB', baseline: bare },
      'rss.controlMiB': { value: mean(agents.map(rssMiB)), unit: 'MiB', baseline: bare },
      'rss.runnerMiB': { value: mean(agents.flatMap(childrenOf).map(rssMiB)), unit: 'MiB', baseline: bare },
    }
  } finally {
    await stage.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Resident memory of a Node that does nothing: what every process here pays before its first line. */
async function bareNodeMiB(): Promise<number> {
  const bare = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1e6)'])
  try {
    await once(bare.stdout, 'data')
    return rssMiB(bare.pid!)
  } finally {
    bare.kill('SIGKILL')
  }
}

function rssMiB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return line ? Number(line[1]) / 1024 : Number.NaN
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => {
      try {
        return new RegExp(`^PPid:\\s+${pid}$`, 'm').test(readFileSync(`/proc/${child}/status`, 'utf8'))
      } catch {
        return false
      }
    })
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
