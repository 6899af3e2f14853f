import type { Command } from 'commander'
import { HubClient } from './client.ts'
import { ContextFile, chooseTarget, type Environment } from './context.ts'
import { Output } from './output.ts'

/** What every command is given: the edges of the process, as arguments. */
export type Shell = {
  environment: Environment
  contexts: ContextFile
  out: Output
  /** Is a person there who can be asked? */
  tty: boolean
  now: () => number
  /** The hub chosen by flag, environment or context; asked for only by the commands that need it. */
  hub: () => HubClient
  signal: AbortSignal
}

export type Streams = {
  environment: Environment
  stdout: (text: string) => void
  stderr: (text: string) => void
  tty: boolean
  now: () => number
  signal: AbortSignal
}

type GlobalFlags = { json?: boolean; url?: string; token?: string; context?: string }

/** Reads the flags that stand on every command. */
export function shellOf(command: Command, streams: Streams): Shell {
  const flags = command.optsWithGlobals<GlobalFlags>()
  const contexts = new ContextFile(streams.environment)
  return {
    environment: streams.environment,
    contexts,
    out: new Output({ json: flags.json === true, stdout: streams.stdout, stderr: streams.stderr }),
    tty: streams.tty && streams.environment['CI'] === undefined,
    now: streams.now,
    hub: () => new HubClient(chooseTarget(contexts, streams.environment, flags)),
    signal: streams.signal,
  }
}

/** A noun adds its verbs to the program. */
export type Noun = (program: Command, run: Runner) => void

/** Wraps an action so that it gets a shell; commander's own arguments come first. */
export type Runner = <A extends unknown[]>(
  action: (shell: Shell, ...args: A) => Promise<void>,
) => (...args: [...A, Command]) => Promise<void>
