import { type ChildProcess, fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'
import type { EngineName } from './engine.ts'
import { because, type Log } from './log.ts'
import type { RunnerLedger } from './runner-ledger.ts'

/** What the operating system is asked to hold a runner to, without cgroups and without a privilege. */
export type RunnerTerms = {
  memoryBytesMax: number
  /** 0 to 19: how far behind others it stands for the CPU. */
  nice: number
  /** CPUs that it may use, such as `0,2-3`; by taskset, so on Linux. */
  cpus?: string
}

export type RunnerOrder = {
  script: string
  engine: EngineName
  /** Tries the engine before it says that it is there. */
  preflight?: boolean
  limits: RunnerTerms
  log: Log
  ledger: RunnerLedger
  /** A pipe with readings, which the runner finds as its standard input. */
  stdin?: number | undefined
}

/** The kernel's scale ends at 1000: when memory runs out it takes a runner first, and control goes on. */
const oomScore = 800

export function forkRunner({
  script,
  engine,
  preflight,
  limits,
  log,
  stdin,
}: Omit<RunnerOrder, 'ledger'>): ChildProcess {
  const { memoryBytesMax, cpus } = limits
  const heapMiB = Math.max(64, Math.floor(memoryBytesMax / 2 ** 20))
  // A runner makes little garbage; room for more of it would be 10 MiB that somebody else on the device could use, and
  // three more threads to collect it would be 1 MiB.
  const nodeArguments = [`--max-old-space-size=${heapMiB}`, '--max-semi-space-size=1', '--v8-pool-size=1']
  // taskset becomes the runner: same process id, same channel.
  const pinned = cpus !== undefined && process.platform === 'linux'
  const child = fork(
    script,
    [...(engine === 'wasm' ? ['--wasm'] : []), ...(preflight ? ['--preflight'] : [])],
    {
      // Only what a process needs to run: secrets and CI switches of our own environment stay here.
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        TMPDIR: process.env['TMPDIR'],
        TZ: process.env['TZ'],
        // Newer ONNX Runtimes report home by default.
        ORT_DISABLE_TELEMETRY: '1',
        // Its threads hardly allocate, and glibc would keep a heap for each: 2 MiB.
        MALLOC_ARENA_MAX: '1',
      },
      ...(pinned && { execPath: 'taskset' }),
      execArgv: pinned ? ['-c', cpus, process.execPath, ...nodeArguments] : nodeArguments,
      stdio: [stdin ?? 'ignore', 'ignore', 'pipe', 'ipc'],
    },
  )
  if (child.pid !== undefined) lower(child.pid, limits.nice, log)
  return child
}

/** Before it loads anything, so that its threads inherit it. Both only ever ask for less, which anybody may. */
function lower(pid: number, nice: number, log: Log): void {
  try {
    if (nice > 0) setPriority(pid, nice)
    if (process.platform === 'linux') writeFileSync(`/proc/${pid}/oom_score_adj`, String(oomScore))
  } catch (error) {
    log.warn({ pid, because: because(error) }, 'a runner stands no further behind than control')
  }
}
