import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { checkConfig } from '@godwit/protocol/config-check'
import { Fault } from '@godwit/protocol/fault'
import { localMoment, parseInstallWindow } from '@godwit/protocol/install-window'
import Type, { type Static, type TSchema } from 'typebox'
import { parseDocument } from 'yaml'
import type { SourceConfig } from './runner/sources/source.ts'

const closed = { additionalProperties: false }

const Source = Type.Object(
  {
    kind: Type.String({
      enum: ['replay', 'jsonl'],
      description:
        '`replay` plays a recording, CSV or JSONL; `jsonl` follows a file that grows by a reading a line.',
    }),
    path: Type.String({ minLength: 1, description: 'The file.' }),
    intervalMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Milliseconds between two readings of a `replay`; 1000 if absent.',
      }),
    ),
    loop: Type.Optional(Type.Boolean({ description: 'A `replay` begins again at its end, for ever.' })),
  },
  closed,
)

/** Optional with a default: the check fills in nothing below keys that are names, so `agentConfig` does. */
const Slot = Type.Object(
  {
    source: Source,
    executionProviders: Type.Optional(
      Type.Array(Type.String(), {
        default: ['cpu'],
        minItems: 1,
        description: 'In order of preference; what is not there is passed over.',
      }),
    ),
    threads: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        default: 1,
        description:
          'Threads of one inference. More than one spins, and costs about twenty times the CPU at low rates.',
      }),
    ),
  },
  closed,
)

const Ms = (standard: number, minimum: number, why: string) =>
  Type.Integer({ minimum, default: standard, description: `Milliseconds. ${why}` })

/** Keys, units, defaults and their reasons. */
export const AgentConfigSchema = Type.Object(
  {
    stateDir: Type.String({
      minLength: 1,
      description: 'Everything the agent remembers. On a file system that survives reboots.',
    }),
    join: Type.Optional(
      Type.Object(
        {
          token: Type.Optional(Type.String({ description: 'Join token; not needed once enrolled.' })),
          tokenFile: Type.Optional(Type.String({ description: 'Instead: a file that holds it.' })),
          deviceId: Type.Optional(
            Type.String({
              pattern: '^[A-Za-z0-9_-]{1,64}$',
              description: 'Asks for this name instead of the one in the token or one that the hub makes up.',
            }),
          ),
        },
        closed,
      ),
    ),
    slots: Type.Unsafe<Record<string, Static<typeof Slot>>>(
      // Without `properties`: any name is a slot's, and none is an unknown key.
      { type: 'object', additionalProperties: Slot, minProperties: 1 } as TSchema,
    ),
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
    download: Type.Object(
      {
        via: Type.String({
          enum: ['auto', 'http', 'mqtt'],
          default: 'auto',
          description: '`auto`: over HTTP where the hub offers it, over MQTT where only that gets through.',
        }),
        bytesPerSecondMax: Type.Optional(
          Type.Integer({ minimum: 1_024, description: 'Bytes a second. Absent: as fast as it goes.' }),
        ),
      },
      { ...closed, default: {} },
    ),
    install: Type.Object(
      {
        windows: Type.Array(Type.String({ maxLength: 64 }), {
          default: [],
          maxItems: 16,
          description:
            'When a candidate may be tested and activated, such as `Mon-Fri 22:00-05:00`; empty: at any time. A rollout may narrow it.',
        }),
        timeZone: Type.Optional(
          Type.String({ description: 'IANA name, such as `Europe/Berlin`; absent: the zone of the system.' }),
        ),
        lockFile: Type.Optional(
          Type.String({
            minLength: 1,
            description:
              'While this file is there, nothing is downloaded or installed. Going back is never locked.',
          }),
        ),
        batteryPercentMin: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 100,
            description: 'Percent. On battery below it, installs wait.',
          }),
        ),
        temperatureCelsiusMax: Type.Optional(
          Type.Number({ description: 'Degrees Celsius. When the hottest zone is above it, installs wait.' }),
        ),
      },
      { ...closed, default: {} },
    ),
    link: Type.Object(
      {
        mqttUrl: Type.Optional(
          Type.String({
            pattern: '^(mqtts?|wss?)://',
            description:
              'Instead of the address that the hub gave at enrolment, such as the near end of a tunnel.',
          }),
        ),
        backoffMsMin: Ms(
          1_000,
          1,
          'Before the second try to connect; doubled with every failure, with full jitter.',
        ),
        backoffMsMax: Ms(300_000, 1, 'The longest wait between two tries.'),
      },
      { ...closed, default: {} },
    ),
    tls: Type.Object(
      {
        caFile: Type.Optional(
          Type.String({
            minLength: 1,
            description:
              'PEM. Who may have signed the certificate of the hub, and nobody else; absent: the public authorities that Node knows.',
          }),
        ),
        certFile: Type.Optional(
          Type.String({
            minLength: 1,
            description:
              'PEM. The certificate of this device, where the hub asks for one; its common name is the device id.',
          }),
        ),
        keyFile: Type.Optional(
          Type.String({ minLength: 1, description: 'PEM. The private key of that certificate.' }),
        ),
      },
      { ...closed, default: {} },
    ),
    runner: Type.Object(
      {
        startMsMax: Ms(30_000, 100, 'From fork to the first word; ONNX Runtime is loaded within it.'),
        loadMsMax: Ms(120_000, 100, 'To load a model.'),
        selfTestMsMax: Ms(120_000, 100, 'For the golden vectors.'),
        handOverMsMax: Ms(15_000, 100, 'For the reading under way and the last window.'),
        hangMsMax: Ms(
          30_000,
          3_000,
          "One inference holds the runner's only thread, so this must be longer than the slowest.",
        ),
        memoryBytesMax: Type.Integer({
          minimum: 64 * 2 ** 20,
          default: 1_024 * 2 ** 20,
          description: 'Bytes of resident memory of one runner; a 9 kB model was seen to take 550 MB.',
        }),
      },
      { ...closed, default: {} },
    ),
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

export type SlotConfig = { source: SourceConfig; executionProviders: readonly string[]; threads: number }

export type AgentConfig = Readonly<
  Omit<Checked, 'slots' | 'download' | 'join'> & {
    slots: Readonly<Record<string, SlotConfig>>
    download: { via: 'auto' | 'http' | 'mqtt'; bytesPerSecondMax?: number }
    join: { token?: string; deviceId?: string }
  }
>

/**
 * Checks the whole and freezes it. Relative paths are read from `directory`, the config file's own.
 *
 * @throws Fault `config-wrong` with all mistakes in one message
 */
export function agentConfig(given: unknown, directory: string): AgentConfig {
  const read = checkConfig(AgentConfigSchema, given)
  const mistakes = read.ok ? [] : [...read.mistakes]
  const value = read.ok ? (read.value as Checked) : undefined
  for (const [name, slot] of Object.entries(slotsOf(given))) mistakes.push(...mistakesOfSlot(name, slot))
  if (value?.join?.token !== undefined && value.join.tokenFile !== undefined)
    mistakes.push('`join` has both `token` and `tokenFile`, expected one')
  if (value) mistakes.push(...mistakesOfInstall(value.install))
  if (value && (value.tls.certFile === undefined) !== (value.tls.keyFile === undefined))
    mistakes.push('`tls` has one of `certFile` and `keyFile`, expected both or none')
  if (!value || mistakes.length > 0)
    throw new Fault(
      'config-wrong',
      `the configuration has ${mistakes.length} mistake(s):\n  ${mistakes.join('\n  ')}`,
    )
  const slots = Object.fromEntries(
    Object.entries(value.slots).map(([name, { source, executionProviders, threads }]) => [
      name,
      Object.freeze({
        source: sourceOf(source, directory),
        executionProviders: executionProviders ?? ['cpu'],
        threads: threads ?? 1,
      }),
    ]),
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
    download: value.download as AgentConfig['download'],
    join: joinOf(value.join, directory),
  })
}

/** `checkConfig` names unknown keys of fixed objects; slots have names of their own, so their keys are looked at here. */
function mistakesOfSlot(name: string, slot: unknown): string[] {
  const mistakes: string[] = []
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name))
    mistakes.push(`slot name \`${name}\`: expected up to 64 letters, digits, _ and -`)
  const read = checkConfig(Slot, slot)
  if (!read.ok)
    mistakes.push(
      ...read.mistakes
        .filter((mistake) => mistake.startsWith('unknown key'))
        .map((mistake) => `\`slots.${name}\`: ${mistake}`),
    )
  else if (
    read.value.source.kind !== 'replay' &&
    (read.value.source.loop !== undefined || read.value.source.intervalMs !== undefined)
  )
    mistakes.push(`\`slots.${name}.source\`: \`loop\` and \`intervalMs\` belong to kind \`replay\``)
  return mistakes
}

function mistakesOfInstall({ windows, timeZone }: Checked['install']): string[] {
  const flaws = windows.map(parseInstallWindow).filter((window) => typeof window === 'string')
  const mistakes = flaws.map((flaw) => `\`install.windows\`: ${flaw}`)
  try {
    if (timeZone !== undefined) localMoment(0, timeZone)
  } catch {
    mistakes.push(
      `\`install.timeZone\`: expected a name such as Europe/Berlin, found ${JSON.stringify(timeZone)}`,
    )
  }
  return mistakes
}

function slotsOf(given: unknown): Record<string, unknown> {
  const slots = (given as { slots?: unknown } | null | undefined)?.slots
  return typeof slots === 'object' && slots !== null ? (slots as Record<string, unknown>) : {}
}

function sourceOf(source: Static<typeof Source>, directory: string): SourceConfig {
  const path = resolve(directory, source.path)
  if (source.kind === 'jsonl') return { kind: 'jsonl', path }
  return { kind: 'replay', path, intervalMs: source.intervalMs ?? 1_000, loop: source.loop ?? false }
}

function joinOf(join: Checked['join'], directory: string): AgentConfig['join'] {
  const token = join?.tokenFile === undefined ? join?.token : readToken(resolve(directory, join.tokenFile))
  return {
    ...(token !== undefined && { token }),
    ...(join?.deviceId !== undefined && { deviceId: join.deviceId }),
  }
}

/** Absent is fine: the file is often removed once the device has joined. */
function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Fault('config-wrong', `cannot read the join token in ${path}`, { cause })
  }
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
