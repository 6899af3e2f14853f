import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { Fault } from '@godwit/protocol/fault'
import { keyFingerprint } from '@godwit/protocol/messages/enrolment'
import { Command, CommanderError } from 'commander'
import { pino } from 'pino'
import { bundleCommand } from './bundle/command.ts'
import { type AgentConfig, agentConfig, readAgentConfig } from './config.ts'
import { systemClock } from './control/clock.ts'
import { deviceKey, publicKeyHex, readEnrolment } from './control/identity.ts'
import { because } from './control/log.ts'
import { pathsIn } from './control/paths.ts'
import { askForRotation } from './control/rotate-key.ts'
import { readStatus } from './control/status.ts'
import { rootedSysfs } from './energy/sysfs.ts'
import { startAgent } from './wiring.ts'

/** 0 done, 1 failed, 2 wrong use or configuration, 3 the hub refused to enrol this device, 4 a stick was refused. */
const exitCodes: Record<string, number> = {
  'config-wrong': 2,
  'config-unreadable': 2,
  'not-enrolled': 2,
  'join-token-malformed': 2,
  'state-in-use': 2,
  'enrolment-refused': 3,
  'enrolment-root-wrong': 3,
  'medium-refused': 4,
}

/** No clock that is earlier can be right. */
const builtAtMs = Date.UTC(2026, 10, 1)

type RunOptions = {
  config?: string
  state?: string
  join?: string
  slot?: string[]
  via?: string
  logLevel?: string
}

/** The only reader of `process` in the agent. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await buildProgram().parseAsync(argv)
  } catch (error) {
    process.exitCode = exitCodeOf(error)
    if (!(error instanceof CommanderError)) process.stderr.write(`godwit-agent: ${because(error)}\n`)
  }
}

export function buildProgram(): Command {
  const program = new Command('godwit-agent')
    .description('Runs proven models on this device and reports what they do.')
    .version(agentVersion())
    .exitOverride()
  program
    .command('run')
    .description('serve, deploy and report until SIGTERM or SIGINT')
    .option('--config <file>', 'YAML configuration')
    .option('--state <dir>', 'state directory (without --config)')
    .option('--join <token>', 'join token, for the first start')
    .option('--slot <name=kind:path...>', 'a slot and its source, such as default=replay:/data/mote.jsonl')
    .option('--via <way>', 'auto, http or mqtt: how models travel')
    .option('--log-level <level>', 'trace, debug, info, warn, error or fatal')
    .action((options: RunOptions) => run(options))
  program
    .command('status')
    .description('what a state directory holds, as JSON; the agent may be running or not')
    .option('--config <file>', 'YAML configuration')
    .option('--state <dir>', 'state directory (without --config)')
    .option('--json', 'as JSON; it always is')
    .action((options: { config?: string; state?: string }) => {
      process.stdout.write(`${JSON.stringify(status(stateDirOf(options)), null, 2)}\n`)
    })
  program
    .command('identity')
    .description('print the public key of this device and its fingerprint; makes the key if there is none')
    .option('--config <file>', 'YAML configuration')
    .option('--state <dir>', 'state directory (without --config)')
    .action((options: { config?: string; state?: string }) => {
      process.stdout.write(`${JSON.stringify(identity(stateDirOf(options)), null, 2)}\n`)
    })
  program
    .command('rotate-key')
    .description('take another device key; the agent does it at once, or when it runs next')
    .option('--config <file>', 'YAML configuration')
    .option('--state <dir>', 'state directory (without --config)')
    .action((options: { config?: string; state?: string }) => {
      const paths = pathsIn(stateDirOf(options))
      if (!readEnrolment(paths)) throw new Fault('not-enrolled', `${paths.root} belongs to no fleet yet`)
      askForRotation(paths)
      process.stdout.write(`${JSON.stringify({ asked: true, ...identity(paths.root) }, null, 2)}\n`)
    })
  program
    .command('import')
    .description(
      'take a release from a stick that `godwit bundle export` wrote; the agent may be running or not',
    )
    .argument('<directory>', 'where the stick is mounted, or a directory on it')
    .option('--config <file>', 'YAML configuration')
    .option('--state <dir>', 'state directory (without --config)')
    .option('--json', 'as JSON; it always is')
    .action(async (directory: string, options: { config?: string; state?: string }) => {
      const { importMedium } = await import('./control/medium/import.ts')
      const paths = pathsIn(stateDirOf(options))
      const imported = await importMedium(resolve(directory), paths, {
        wallMs: Date.now,
        floorMs: floorIn(paths),
      })
      process.stdout.write(`${JSON.stringify(imported, null, 2)}\n`)
    })
  bundleCommand(program)
  return program
}

async function run(options: RunOptions): Promise<void> {
  const config = configOf(options)
  const log = pino(
    { level: config.log.level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  )
  const leaving = new AbortController()
  // Both signals at once, before anything starts: a stop during the start must be a stop.
  const left = new Promise<'offline' | 'sleeping'>((settle) => {
    const leave = (status: 'offline' | 'sleeping') => () => {
      leaving.abort(new Error('asked to stop'))
      settle(status)
    }
    process.once('SIGTERM', leave('offline'))
    process.once('SIGINT', leave('offline'))
    process.once('SIGUSR2', leave('sleeping'))
  })
  let agent: Awaited<ReturnType<typeof startAgent>>
  try {
    agent = await startAgent(
      config,
      {
        log,
        clock: systemClock,
        random: Math.random,
        sysfs: rootedSysfs(),
        fetch,
        agentVersion: agentVersion(),
        builtAtMs,
        runnerScript: fileURLToPath(new URL('./runner/main.js', import.meta.url)),
      },
      leaving.signal,
    )
  } catch (error) {
    if (leaving.signal.aborted) return
    throw error
  }
  log.info({ deviceId: agent.deviceId, slots: Object.keys(config.slots) }, 'agent at work')
  const status = await left
  log.info({ status }, 'stopping')
  await agent.stop(status)
}

function stateDirOf({ config, state }: { config?: string; state?: string }): string {
  if (config !== undefined) return readAgentConfig(config).stateDir
  if (state !== undefined) return resolve(state)
  throw new Fault('config-wrong', 'give --config FILE or --state DIR')
}

function configOf(options: RunOptions): AgentConfig {
  if (options.config) {
    const config = readAgentConfig(options.config)
    return options.join ? Object.freeze({ ...config, join: { ...config.join, token: options.join } }) : config
  }
  if (!options.state || !options.slot)
    throw new Fault('config-wrong', 'give --config FILE, or --state DIR and at least one --slot')
  const slots = Object.fromEntries(options.slot.map(slotOf))
  return agentConfig(
    {
      stateDir: options.state,
      slots,
      ...(options.join && { join: { token: options.join } }),
      ...(options.via && { download: { via: options.via } }),
      ...(options.logLevel && { log: { level: options.logLevel } }),
    },
    process.cwd(),
  )
}

/** `NAME=KIND:PATH`, with `,key=value` behind it: `default=replay:mote.jsonl,intervalMs=50,loop=true`. */
function slotOf(text: string): [string, unknown] {
  const match = /^([^=]+)=([a-z]+):([^,]+)((?:,[A-Za-z]+=[^,]+)*)$/.exec(text)
  if (!match) throw new Fault('config-wrong', `--slot ${text}: expected NAME=KIND:PATH[,key=value…]`)
  const [, name, kind, path, rest] = match
  const more = rest!
    .split(',')
    .slice(1)
    .map((pair) => pair.split('=') as [string, string])
  const values = more.map(([key, value]) => [
    key,
    value === 'true' ? true : value === 'false' ? false : Number(value),
  ])
  return [name!, { source: { kind, path, ...Object.fromEntries(values) } }]
}

function status(stateDir: string): unknown {
  const paths = pathsIn(stateDir)
  if (!existsSync(paths.database))
    throw new Fault('config-wrong', `${stateDir} holds no agent's state (no ${paths.database})`)
  const sqlite = new DatabaseSync(paths.database, { readOnly: true })
  try {
    return readStatus(paths, sqlite)
  } finally {
    sqlite.close()
  }
}

/** What a factory writes on its list, and what somebody reads to an operator. The seed is not in it. */
function identity(stateDir: string): object {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const paths = pathsIn(stateDir)
  const publicKey = publicKeyHex(deviceKey(paths))
  const deviceId = readEnrolment(paths)?.deviceId
  return { publicKey, fingerprint: keyFingerprint(publicKey), ...(deviceId !== undefined && { deviceId }) }
}

/** The latest time that this device has verified, for a clock that may be wrong. */
function floorIn(paths: ReturnType<typeof pathsIn>): number {
  if (!existsSync(paths.database)) return builtAtMs
  const sqlite = new DatabaseSync(paths.database, { readOnly: true })
  try {
    const row = sqlite.prepare("SELECT value FROM meta WHERE name = 'floor'").get() as
      | { value: string }
      | undefined
    return Math.max(builtAtMs, Number(row?.value ?? 0))
  } finally {
    sqlite.close()
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  return error instanceof Fault ? (exitCodes[error.code] ?? 1) : 1
}

function agentVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}
