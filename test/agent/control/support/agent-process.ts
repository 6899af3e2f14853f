import { fileURLToPath } from 'node:url'
import { agentConfig } from '@godwit/agent/config'
import { Journal } from '@godwit/agent/control/deployment/journal'
import { silentLog } from '@godwit/agent/control/log'
import { Database } from '@godwit/agent/control/state/database'
import { rootedSysfs } from '@godwit/agent/energy/sysfs'
import { startAgent } from '@godwit/agent/wiring'

/**
 * An agent in a process of its own, which kills itself at one place of a deployment, as a power cut would:
 *
 *     agent-process.ts STATE_DIR JOIN_TOKEN NOW_MS [PLACE]
 *
 * PLACE is a phase (just after it was stored) or `swap` (pointer file written, database not).
 */
const [stateDir, token, nowText, place] = process.argv.slice(2)
const nowMs = Number(nowText)

const cut = () => process.kill(process.pid, 'SIGKILL')

const writeDeployment = Journal.prototype.writeDeployment
Journal.prototype.writeDeployment = function (slot, deployment) {
  writeDeployment.call(this, slot, deployment)
  if (deployment.phase === place) cut()
}

const transaction = Database.prototype.transaction
const writeReleases = Journal.prototype.writeReleases
Journal.prototype.writeReleases = function (...args) {
  if (place === 'swap' && args[2].phase === 'activating')
    Database.prototype.transaction = () => cut() as never
  writeReleases.apply(this, args)
  Database.prototype.transaction = transaction
}

const agent = await startAgent(
  agentConfig(
    {
      stateDir,
      join: { token },
      slots: { default: { source: { kind: 'replay', path: '/dev/null' } } },
      link: { backoffMsMin: 50, backoffMsMax: 400 },
    },
    '/',
  ),
  {
    log: silentLog,
    clock: { wallMs: () => Math.round(nowMs + performance.now()), monotonicMs: () => performance.now() },
    random: Math.random,
    sysfs: rootedSysfs(),
    fetch,
    agentVersion: '0.0.0',
    builtAtMs: nowMs - 86_400_000,
    runnerScript: fileURLToPath(new URL('./fake-runner.mjs', import.meta.url)),
  },
)
process.on('SIGTERM', () => void agent.stop().then(() => process.exit(0)))
