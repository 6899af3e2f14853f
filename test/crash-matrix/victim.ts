import { accessSync, readdirSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { agentConfig } from '@godwit/agent/config'
import { because, type Log } from '@godwit/agent/control/log'
import { rootedSysfs } from '@godwit/agent/energy/sysfs'
import { type Agent, startAgent } from '@godwit/agent/wiring'
import { type FromVictim, hurry, type RunOrder, type Said, type ToVictim } from './victim-messages.ts'

/**
 * A control process that the matrix harms: the whole agent, started and stopped by orders over the process channel, so
 * that one process may live through many cells as long as nothing kills it. Everything is loaded before the first order,
 * and the tracer attaches between the two: what it then counts are the agent's own calls.
 */

/**
 * The agent's clock runs ten times as fast, and long timers with it: five seconds of waiting for a disk to come back
 * pass in half a second. Short timers are left alone, so that processes have the time that they need.
 */
const longMs = 2_000
const { setTimeout: later } = globalThis
globalThis.setTimeout = ((work: (...rest: unknown[]) => void, ms = 0, ...rest: unknown[]) =>
  later(() => work(...rest), ms >= longMs ? ms / hurry : ms)) as typeof setTimeout
globalThis.setTimeout.__promisify__ = later.__promisify__

const say = (message: FromVictim) => void process.send?.(message)

/** A call that does nothing but stand in the trace, to tell in which phase the calls around it were made. */
function mark(phase: string): void {
  try {
    accessSync(`/godwit-phase/${phase}`)
  } catch {}
}

function spoken(level: Said['level']) {
  return (fields: object, message: string) => {
    if (message === 'deployment') mark(String((fields as { to?: unknown }).to))
    say({ type: 'said', level, message, fields: JSON.parse(JSON.stringify(fields)) })
  }
}
const log: Log = {
  debug: spoken('debug'),
  info: spoken('info'),
  warn: spoken('warn'),
  error: spoken('error'),
}

const scripts = {
  light: fileURLToPath(new URL('./light-runner.mjs', import.meta.url)),
  onnx: fileURLToPath(import.meta.resolve('@godwit/agent/runner/main')),
}

let agent: Agent | undefined

async function run({ stateDir, token, engine, nowMs, source }: RunOrder): Promise<void> {
  const offsetMs = performance.now()
  mark('starting')
  agent = await startAgent(
    agentConfig(
      {
        stateDir,
        join: { token },
        slots: { default: { source } },
        link: { backoffMsMin: 20, backoffMsMax: 200 },
        // Beyond what `hurry` takes off and a busy machine adds.
        runner: {
          startMsMax: 300_000,
          loadMsMax: 300_000,
          selfTestMsMax: 300_000,
          handOverMsMax: 100_000,
          hangMsMax: 300_000,
        },
      },
      '/',
    ),
    {
      log,
      clock: {
        wallMs: () => Math.round(nowMs + hurry * (performance.now() - offsetMs)),
        monotonicMs: () => hurry * performance.now(),
      },
      random: Math.random,
      sysfs: rootedSysfs(),
      fetch,
      agentVersion: '0.0.0',
      builtAtMs: nowMs - 86_400_000,
      runnerScript: scripts[engine],
    },
  )
  mark('idle')
}

async function stop(): Promise<void> {
  mark('stopping')
  const ending = agent
  agent = undefined
  await ending?.stop()
}

process.on('message', (order: ToVictim) => {
  if (order.type === 'run')
    run(order).then(
      () => say({ type: 'running' }),
      (error) => say({ type: 'start-failed', because: because(error) }),
    )
  else
    stop().then(
      () => say({ type: 'stopped' }),
      (error) => say({ type: 'stop-failed', because: because(error) }),
    )
})
process.on('disconnect', () => process.exit(0))

/** The first asynchronous file call makes the one thread of libuv's pool, so that a tracer can be put on it. */
async function poolThread(): Promise<number> {
  await stat('/')
  const tasks = readdirSync('/proc/self/task').map(Number)
  const named = tasks.find((tid) => readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').startsWith('libuv-'))
  if (named === undefined) throw new Error('the thread pool of libuv has no thread of a known name')
  return named
}

say({ type: 'ready', main: process.pid, pool: await poolThread() })
