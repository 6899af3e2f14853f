import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { checkConfig } from '@godwit/protocol/config-check'
import { Fault } from '@godwit/protocol/fault'
import { localMoment, parseInstallWindow } from '@godwit/protocol/install-window'
import Type, { type Static, type TSchema } from 'typebox'
import { parseDocument } from 'yaml'
import type { EngineSetting } from './control/engine.ts'
import type { Preference } from './control/variants/choose.ts'
import { type ApiConfig, ApiSchema, apiOf, mistakesOfApi } from './runner/api/api-config.ts'
import type { SourceConfig } from './runner/sources/source.ts'
import { mistakesOfSource, SourceSchema, sourceOf } from './runner/sources/source-config.ts'

const closed = { additionalProperties: false }

/** Optional with a default: the check fills in nothing below keys that are names, so `agentConfig` does. */
const Slot = Type.Object(
  {
    source: SourceSchema,
    api: Type.Optional(ApiSchema),
    executionProviders: Type.Optional(
      Type.Array(Type.String({ enum: ['cpu', 'cuda', 'tensorrt', 'dml', 'coreml', 'webgpu', 'wasm'] }), {
        default: ['cpu'],
        minItems: 1,
        description:
          'What a model may run on, in order of preference: `cpu`, `cuda`, `tensorrt`, `dml`, `coreml`, `webgpu` or `wasm`. What is not there is passed over.',
      }),
    ),
    prefer: Type.Optional(
      Type.String({
        enum: ['latency', 'energy', 'memory', 'order'],
        default: 'latency',
        description:
          'Which variant of a release serves, of those that pass their self-test here: the fastest, the thriftiest, the smallest, or the first in order.',
      }),
    ),
    energyLabel: Type.Optional(
      Type.String({
        enum: ['measured', 'modelled'],
        default: 'measured',
        description:
          'The worst provenance on which a promise of joules refuses a release. An assumed figure never does.',
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

const ClassLimits = Type.Object(
  {
    bytesPerSecondMax: Type.Optional(
      Type.Integer({ minimum: 1_024, description: 'Bytes a second over a link of this class.' }),
    ),
    releaseBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Bytes. A release that needs more is not begun.' }),
    ),
    dayBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Bytes a day (UTC); then downloads wait for the next.' }),
    ),
    monthBytesMax: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Bytes a month (UTC); then downloads wait for the next.' }),
    ),
  },
  { ...closed, default: {} },
)

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
          hubUrl: Type.Optional(
            Type.String({
              pattern: '^https?://',
              maxLength: 512,
              description:
                'Without a token: the hub that knows this key already, or whose operator will let it in. Needs `rootSha256`.',
            }),
          ),
          rootSha256: Type.Optional(
            Type.String({
              pattern: '^[0-9a-f]{64}$',
              description: 'SHA-256 of the first root document of the fleet: whom this device will believe.',
            }),
          ),
          caSha256: Type.Optional(
            Type.String({
              pattern: '^[0-9a-f]{64}$',
              description:
                "SHA-256 of the certificate of the hub's own authority (`godwit hub ca show`), where it has one.",
            }),
          ),
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
        bytesPerSecondMin: Type.Integer({
          minimum: 0,
          default: 512,
          description: 'Bytes a second over a minute. A source that is slower gives way to the next.',
        }),
        spreadMs: Ms(
          500,
          0,
          'The first byte of a release comes some time within it, and within what the hub asks for on top.',
        ),
        gateways: Type.Array(Type.String({ pattern: '^https?://', maxLength: 512 }), {
          default: [],
          maxItems: 16,
          description:
            'Agents next door with a `gateway`, asked first. What comes from them costs no budget of the link.',
        }),
        mirrors: Type.Array(Type.String({ pattern: '^https?://', maxLength: 512 }), {
          default: [],
          maxItems: 16,
          description:
            'Servers with `/blobs/sha256/…`, asked before the hub. They need no trust and get no token; one wrong block, and one is left aside for an hour.',
        }),
        budget: Type.Object(
          {
            overheadPercent: Type.Integer({
              minimum: 0,
              maximum: 1_000,
              default: 25,
              description:
                'Percent. What a release may take from the link beyond what was missing; then it ends with `budget_bytes`.',
            }),
            overheadBytesMin: Type.Integer({
              minimum: 0,
              default: 262_144,
              description: 'Bytes. The least overhead, for small releases: four blocks.',
            }),
            retriesMax: Type.Integer({
              minimum: 1,
              default: 64,
              description: 'Setbacks of one release that progress has not earned back.',
            }),
          },
          { ...closed, default: {} },
        ),
        metered: ClassLimits,
        unmetered: ClassLimits,
      },
      { ...closed, default: {} },
    ),
    gateway: Type.Optional(
      Type.Object(
        {
          listen: Type.String({
            pattern: '^[A-Za-z0-9.:\\[\\]-]+:\\d{1,5}$',
            description:
              'Address and port, such as `192.168.7.1:8470`. Serves verified blobs to whoever asks: for the local network only.',
          }),
          bytesMax: Type.Integer({
            minimum: 2 ** 20,
            default: 512 * 2 ** 20,
            description: 'Bytes. What it keeps for neighbours beside what this device needs itself.',
          }),
          pullThrough: Type.Boolean({
            default: true,
            description:
              'Fetches for neighbours what it does not hold, if the signed metadata lists it; it counts against the budgets.',
          }),
        },
        closed,
      ),
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
        class: Type.String({
          enum: ['unmetered', 'metered'],
          default: 'unmetered',
          description: 'What the link costs, where the two rules below say nothing.',
        }),
        classFile: Type.Optional(
          Type.String({
            minLength: 1,
            description: 'Holds `metered` or `unmetered` and comes first; read anew at each look.',
          }),
        ),
        meteredInterfaces: Type.Array(Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,32}\\*?$' }), {
          default: ['wwan*', 'ppp*'],
          maxItems: 32,
          description:
            'The link is metered while the default route leaves by one of these; `*` at the end fits any rest.',
        }),
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
        engine: Type.String({
          enum: ['auto', 'native', 'wasm'],
          default: 'auto',
          description:
            'ONNX Runtime as native code or as WebAssembly; `auto`: native, and WebAssembly where the board cannot run that.',
        }),
        nice: Type.Integer({
          minimum: 0,
          maximum: 19,
          default: 0,
          description: 'How far runners stand behind other processes for the CPU, as for `nice`.',
        }),
        cpus: Type.Optional(
          Type.String({
            pattern: '^\\d+(-\\d+)?(,\\d+(-\\d+)?)*$',
            description: 'CPUs that runners may use, such as `2-3`; on Linux, by `taskset`. Absent: all.',
          }),
        ),
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

export type SlotConfig = {
  source: SourceConfig
  api?: ApiConfig
  executionProviders: readonly string[]
  prefer: Preference
  energyLabel: 'measured' | 'modelled'
  threads: number
}

export type AgentConfig = Readonly<
  Omit<Checked, 'slots' | 'download' | 'join'> & {
    slots: Readonly<Record<string, SlotConfig>>
    runner: Checked['runner'] & { engine: EngineSetting }
    download: Omit<Checked['download'], 'via'> & { via: 'auto' | 'http' | 'mqtt' }
    join: { token?: string; deviceId?: string; hubUrl?: string; rootSha256?: string; caSha256?: string }
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
  if (value) mistakes.push(...mistakesBetweenSlots(value.slots))
  if (value?.join?.token !== undefined && value.join.tokenFile !== undefined)
    mistakes.push('`join` has both `token` and `tokenFile`, expected one')
  if ((value?.join?.hubUrl === undefined) !== (value?.join?.rootSha256 === undefined))
    mistakes.push('`join` has one of `hubUrl` and `rootSha256`, expected both or none')
  if (value?.join?.caSha256 !== undefined && !value.join.hubUrl?.startsWith('https:'))
    mistakes.push('`join.caSha256` needs a `join.hubUrl` of https; a join token brings its own')
  if (value) mistakes.push(...mistakesOfInstall(value.install))
  if (value && (value.tls.certFile === undefined) !== (value.tls.keyFile === undefined))
    mistakes.push('`tls` has one of `certFile` and `keyFile`, expected both or none')
  if (!value || mistakes.length > 0)
    throw new Fault(
      'config-wrong',
      `the configuration has ${mistakes.length} mistake(s):\n  ${mistakes.join('\n  ')}`,
    )
  const slots = Object.fromEntries(
    Object.entries(value.slots).map(
      ([name, { source, api, executionProviders, prefer, energyLabel, threads }]) => [
        name,
        Object.freeze({
          source: sourceOf(source, directory),
          ...(api && { api: apiOf(api, directory) }),
          executionProviders: executionProviders ?? ['cpu'],
          prefer: (prefer ?? 'latency') as Preference,
          energyLabel: (energyLabel ?? 'measured') as SlotConfig['energyLabel'],
          threads: threads ?? 1,
        }),
      ],
    ),
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
  else {
    const { source, api } = read.value
    mistakes.push(...mistakesOfSource(source).map((mistake) => `\`slots.${name}.source\`: ${mistake}`))
    if (api) mistakes.push(...mistakesOfApi(api).map((mistake) => `\`slots.${name}.api\`: ${mistake}`))
    if (source.kind === 'api' && !api)
      mistakes.push(`\`slots.${name}.source\`: kind \`api\` needs an \`api\` beside it`)
  }
  return mistakes
}

/** One pipe has one reader, and one address one listener. */
function mistakesBetweenSlots(slots: Checked['slots']): string[] {
  const uses = Object.values(slots).flatMap(({ source, api }) => [
    ...(source.kind === 'stdin' ? ['source of kind `stdin`'] : []),
    ...(source.kind === 'fifo' ? [`FIFO ${source.path}`] : []),
    ...(api?.listen !== undefined && !api.listen.endsWith(':0') ? [`\`listen\` ${api.listen}`] : []),
    ...(api?.socket !== undefined ? [`\`socket\` ${api.socket}`] : []),
  ])
  const twice = [...new Set(uses.filter((use, i) => uses.indexOf(use) !== i))]
  return twice.map((use) => `two slots have the same ${use}`)
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

function joinOf(join: Checked['join'], directory: string): AgentConfig['join'] {
  const token = join?.tokenFile === undefined ? join?.token : readToken(resolve(directory, join.tokenFile))
  return {
    ...(token !== undefined && { token }),
    ...(join?.hubUrl !== undefined && { hubUrl: join.hubUrl }),
    ...(join?.rootSha256 !== undefined && { rootSha256: join.rootSha256 }),
    ...(join?.caSha256 !== undefined && { caSha256: join.caSha256 }),
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
