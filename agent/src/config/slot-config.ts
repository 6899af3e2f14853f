import { resolve } from 'node:path'
import { checkConfig } from '@godwit/protocol/config-check'
import Type, { type Static, type TSchema } from 'typebox'
import type { Preference } from '../control/variants/choose.ts'
import { type ApiConfig, ApiSchema, apiOf, mistakesOfApi } from '../runner/api/api-config.ts'
import type { SourceConfig } from '../runner/sources/source.ts'
import { mistakesOfSource, SourceSchema, sourceOf } from '../runner/sources/source-config.ts'
import { closed } from './terms.ts'

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
    fallback: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'A release that came with the device, in a directory that `godwit version download` wrote: served before the first one arrives, and when nothing else starts any more.',
      }),
    ),
  },
  closed,
)

type Given = Static<typeof Slot>

export const SlotsSchema = Type.Unsafe<Record<string, Given>>(
  // Without `properties`: any name is a slot's, and none is an unknown key.
  { type: 'object', additionalProperties: Slot, minProperties: 1 } as TSchema,
)

export type SlotConfig = {
  source: SourceConfig
  api?: ApiConfig
  executionProviders: readonly string[]
  prefer: Preference
  energyLabel: 'measured' | 'modelled'
  threads: number
  /** Directory of a release. */
  fallback?: string
}

/** With defaults and absolute paths. */
export function slotOf(
  { source, api, executionProviders, prefer, energyLabel, threads, fallback }: Given,
  directory: string,
): SlotConfig {
  return Object.freeze({
    source: sourceOf(source, directory),
    ...(api && { api: apiOf(api, directory) }),
    executionProviders: executionProviders ?? ['cpu'],
    prefer: (prefer ?? 'latency') as Preference,
    energyLabel: (energyLabel ?? 'measured') as SlotConfig['energyLabel'],
    threads: threads ?? 1,
    ...(fallback !== undefined && { fallback: resolve(directory, fallback) }),
  })
}

/** @param given the whole configuration, whatever it is */
export function mistakesOfSlots(given: unknown): string[] {
  const { slots } = (given ?? {}) as { slots?: unknown }
  if (typeof slots !== 'object' || slots === null) return []
  return Object.entries(slots).flatMap(([name, slot]) => mistakesOfSlot(name, slot))
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
export function mistakesBetweenSlots(slots: Readonly<Record<string, Given>>): string[] {
  const uses = Object.values(slots).flatMap(({ source, api }) => [
    ...(source.kind === 'stdin' ? ['source of kind `stdin`'] : []),
    ...(source.kind === 'fifo' ? [`FIFO ${source.path}`] : []),
    ...(api?.listen !== undefined && !api.listen.endsWith(':0') ? [`\`listen\` ${api.listen}`] : []),
    ...(api?.socket !== undefined ? [`\`socket\` ${api.socket}`] : []),
  ])
  const twice = [...new Set(uses.filter((use, i) => uses.indexOf(use) !== i))]
  return twice.map((use) => `two slots have the same ${use}`)
}
