import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { checkConfig } from '@godwit/protocol/config-check'
import { Fault } from '@godwit/protocol/fault'
import Type, { type Static } from 'typebox'
import { parseDocument } from 'yaml'
import { DownloadSchema, GatewaySchema } from './config/download-config.ts'
import { InstallSchema, mistakesOfInstall } from './config/install-config.ts'
import { type JoinConfig, JoinSchema, joinOf, mistakesOfJoin } from './config/join-config.ts'
import { LinkSchema, TlsSchema } from './config/link-config.ts'
import { RunnerSchema } from './config/runner-config.ts'
import {
  mistakesBetweenSlots,
  mistakesOfSlots,
  type SlotConfig,
  SlotsSchema,
  slotOf,
} from './config/slot-config.ts'
import { closed, Ms } from './config/terms.ts'
import type { EngineSetting } from './control/engine.ts'

/** Keys, units, defaults and their reasons. */
export const AgentConfigSchema = Type.Object(
  {
    stateDir: Type.String({
      minLength: 1,
      description: 'Everything the agent remembers. On a file system that survives reboots.',
    }),
    join: JoinSchema,
    slots: SlotsSchema,
    spool: Type.Object(
      {
        bytesMax: Type.Integer({
          minimum: 100_000,
          default: 256 * 2 ** 20,
          description: 'Bytes. A month of one-minute windows of a small model fits.',
        }),
        ageMaxMs: Ms(
          90 * 86_400_000,
          60_000,
          'Older telemetry answers no question that somebody still asks.',
        ),
      },
      { ...closed, default: {} },
    ),
    download: DownloadSchema,
    gateway: GatewaySchema,
    install: InstallSchema,
    link: LinkSchema,
    tls: TlsSchema,
    runner: RunnerSchema,
    log: Type.Object(
      {
        level: Type.String({
          enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal'],
          default: 'info',
          description: 'Least severe line that is written to standard error.',
        }),
      },
      { ...closed, default: {} },
    ),
  },
  closed,
)

type Checked = Static<typeof AgentConfigSchema>

export type AgentConfig = Readonly<
  Omit<Checked, 'slots' | 'download' | 'join'> & {
    slots: Readonly<Record<string, SlotConfig>>
    runner: Checked['runner'] & { engine: EngineSetting }
    download: Omit<Checked['download'], 'via'> & { via: 'auto' | 'http' | 'mqtt' }
    join: JoinConfig
  }
>

/**
 * Checks the whole and freezes it. Relative paths are read from `directory`, the config file's own.
 *
 * @throws Fault `config-wrong` with all mistakes in one message
 */
export function agentConfig(given: unknown, directory: string): AgentConfig {
  const read = checkConfig(AgentConfigSchema, given)
  const value = read.ok ? (read.value as Checked) : undefined
  const mistakes = [...(read.ok ? [] : read.mistakes), ...mistakesOfSlots(given)]
  if (value) {
    mistakes.push(
      ...mistakesBetweenSlots(value.slots),
      ...mistakesOfJoin(value.join),
      ...mistakesOfInstall(value.install),
    )
    if ((value.tls.certFile === undefined) !== (value.tls.keyFile === undefined))
      mistakes.push('`tls` has one of `certFile` and `keyFile`, expected both or none')
  }
  if (!value || mistakes.length > 0)
    throw new Fault(
      'config-wrong',
      `the configuration has ${mistakes.length} mistake(s):\n  ${mistakes.join('\n  ')}`,
    )
  const slots = Object.fromEntries(
    Object.entries(value.slots).map(([name, slot]) => [name, slotOf(slot, directory)]),
  )
  return Object.freeze({
    ...value,
    stateDir: resolve(directory, value.stateDir),
    slots,
    tls: Object.fromEntries(
      Object.entries(value.tls).map(([name, path]) => [name, resolve(directory, path)]),
    ),
    install: {
      ...value.install,
      ...(value.install.lockFile !== undefined && { lockFile: resolve(directory, value.install.lockFile) }),
    },
    runner: value.runner as AgentConfig['runner'],
    download: value.download as AgentConfig['download'],
    link: {
      ...value.link,
      ...(value.link.classFile !== undefined && { classFile: resolve(directory, value.link.classFile) }),
    },
    join: joinOf(value.join, directory),
  })
}

export function readAgentConfig(path: string): AgentConfig {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new Fault('config-unreadable', `cannot read the configuration ${path}`, { cause })
  }
  const document = parseDocument(text)
  const [error] = document.errors
  if (error) throw new Fault('config-wrong', `${path}: ${error.message}`)
  return agentConfig(document.toJS(), resolve(path, '..'))
}
