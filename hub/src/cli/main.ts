import { readFileSync } from 'node:fs'
import { Fault } from '@godwit/protocol/fault'
import { Command, CommanderError } from 'commander'
import { type Noun, type Runner, type Streams, shellOf } from './command.ts'
import { auditNoun } from './commands/audit.ts'
import { bundleNoun } from './commands/bundle.ts'
import { contextNoun } from './commands/context.ts'
import { deviceNoun } from './commands/device.ts'
import { hubNoun } from './commands/hub.ts'
import { keyNoun } from './commands/key.ts'
import { modelNoun } from './commands/model.ts'
import { omsNoun } from './commands/oms.ts'
import { rolloutNoun } from './commands/rollout.ts'
import { signNoun } from './commands/sign.ts'
import { telemetryNouns } from './commands/telemetry.ts'
import { tokenNoun } from './commands/token.ts'
import { trustNoun } from './commands/trust.ts'
import { userNoun } from './commands/user.ts'
import { verifyNoun } from './commands/verify.ts'
import { versionNoun } from './commands/version.ts'
import { CliError, exitCodes } from './exit.ts'

const nouns: Noun[] = [
  hubNoun,
  keyNoun,
  trustNoun,
  signNoun,
  contextNoun,
  tokenNoun,
  userNoun,
  modelNoun,
  versionNoun,
  bundleNoun,
  deviceNoun,
  rolloutNoun,
  telemetryNouns,
  auditNoun,
  verifyNoun,
  omsNoun,
]

export function buildProgram(streams: Streams): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const program = new Command('godwit')
    .description('Manages the models on fleets of edge devices.')
    .version(version)
    .option('--json', 'print JSON, the same that the API gives')
    .option('--url <url>', 'the hub (else GODWIT_URL, else the current context)')
    .option('--token <token>', 'API token (else GODWIT_TOKEN, else the current context)')
    .option('--context <name>', 'one of `godwit context list`')
    .option('--debug', 'show stack traces')
    // `explain` says what is wrong, in one form for every error.
    .configureOutput({ writeOut: streams.stdout, writeErr: streams.stderr, outputError: () => {} })
  const run: Runner =
    (action) =>
    (...args) => {
      const command = args.at(-1) as Command
      return action(
        shellOf(command, streams),
        ...(args.slice(0, -1) as Parameters<ReturnType<Runner>> as never),
      )
    }
  for (const noun of nouns) noun(program, run)
  inherit(program, 'godwit')
  return program
}

/** Subcommands throw and write where the program does; commander does not hand that down by itself. */
function inherit(command: Command, path: string): void {
  command.exitOverride((error) => {
    throw usageError(error, path)
  })
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    inherit(child, `${path} ${child.name()}`)
  }
}

/** Commander's own words and code, such as `unknown_option`; help and version are errors to it, and none to us. */
function usageError(error: CommanderError, path: string): Error {
  if (error.exitCode === 0 || error.code === 'commander.help') return error
  const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
  const code = error.code.replace('commander.', '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return new CliError('usage', code, message, `${path} --help`)
}

/** The only reader of `process`. */
export async function main(proc: NodeJS.Process): Promise<void> {
  const interrupted = new AbortController()
  proc.once('SIGINT', () => interrupted.abort('SIGINT'))
  proc.once('SIGTERM', () => interrupted.abort('SIGTERM'))
  // A reader that has seen enough (`| head`) is no error.
  proc.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') proc.exit(0)
  })
  const streams: Streams = {
    environment: proc.env,
    stdout: (text) => proc.stdout.write(text),
    stderr: (text) => proc.stderr.write(text),
    tty: proc.stdin.isTTY === true && proc.stdout.isTTY === true,
    now: Date.now,
    signal: interrupted.signal,
  }
  proc.exitCode = await runProgram(streams, proc.argv.slice(2))
  // Nothing that a finished command left open may keep the shell waiting.
  proc.stdout.write('', () => proc.exit())
}

export async function runProgram(streams: Streams, args: string[]): Promise<number> {
  const program = buildProgram(streams)
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCodes.ok
  } catch (error) {
    return explain(error, streams, args)
  }
}

function explain(error: unknown, streams: Streams, args: string[]): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  if (streams.signal.aborted) return exitCodes.interrupted
  const { message, code, hint, exit } = describe(error)
  if (args.includes('--json')) {
    streams.stderr(`${JSON.stringify({ error: { code, message, ...(hint ? { hint } : {}) } })}\n`)
  } else {
    streams.stderr(`godwit: ${message} [${code}]\n${hint ? `  ${hint}\n` : ''}`)
  }
  if (args.includes('--debug') && error instanceof Error) streams.stderr(`${error.stack}\n`)
  return exit
}

function describe(error: unknown): { message: string; code: string; hint: string | undefined; exit: number } {
  if (error instanceof CliError) {
    return { message: error.message, code: error.code, hint: error.hint, exit: exitCodes[error.exit] }
  }
  if (error instanceof Fault) {
    // As in the agent: who wrote it can mend it.
    const exit = error.code === 'bad-config' ? exitCodes.usage : exitCodes.failure
    return { message: error.message, code: error.code, hint: undefined, exit }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { message, code: 'internal', hint: 'run it again with --debug', exit: exitCodes.failure }
}
