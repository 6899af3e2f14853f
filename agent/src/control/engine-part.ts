import { arch, cpus, release } from 'node:os'
import type { Runtime } from '../runner/session/session.ts'
import { Cage, type CageLimits } from './cage.ts'
import { Engine, type EngineDeps, type EngineName, type EngineSetting } from './engine.ts'
import type { RunnerTerms } from './fork-runner.ts'
import type { Log } from './log.ts'
import type { RunnerLedger } from './runner-ledger.ts'

export type EnginePart = {
  runner: CageLimits & RunnerTerms & { engine: EngineSetting }
  runnerScript: string
  agentVersion: string
  log: Log
  ledger: RunnerLedger
  recall: () => string | undefined
  remember: (text: string) => void
  onRuntime: (runtime: Runtime) => void
  tell: EngineDeps['tell']
}

/** The engine of this board, tried in a throw-away process; a try that went well is remembered for this very build. */
export function engineOf(part: EnginePart): Engine {
  const { runner: limits, runnerScript: script, log, ledger, onRuntime, tell } = part
  const tryOut = async (engine: EngineName) => {
    const cage = await Cage.start({ script, engine, preflight: true, limits, log, ledger })
    await cage.stop()
    return cage.runtime!
  }
  const here = JSON.stringify([
    limits.engine,
    part.agentVersion,
    process.version,
    arch(),
    release(),
    cpus()[0]?.model,
  ])
  const isKnownGood = () => part.recall() === here
  const knowGood = () => part.remember(here)
  return new Engine({ setting: limits.engine, tryOut, isKnownGood, knowGood, onRuntime, tell })
}
