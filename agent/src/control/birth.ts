import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os'
import type { Birth } from '@godwit/protocol/messages/presence'
import type { Sysfs } from '../energy/sysfs.ts'
import type { SlotState } from './deployment/journal.ts'
import { diskFreeBytes } from './files.ts'

export type Runtime = { name: string; version: string; executionProviders: string[] }

export const unknownRuntime: Runtime = { name: 'unknown', version: '', executionProviders: [] }

/**
 * Highest ONNX opset of the default domain that a runtime is released for, by its major and minor version. 0 where we
 * do not know: then the model itself decides when it is loaded.
 */
export function opsetMaxOf({ name, version }: Runtime): number {
  const minor = /^onnxruntime/.test(name) ? /^1\.(\d+)\./.exec(version)?.[1] : undefined
  return minor === undefined ? 0 : (opsetMaxByMinor[Number(minor)] ?? 0)
}

/** From ONNX Runtime's own compatibility table; of 1.27 tried out: it loads 26 and refuses 27. */
const opsetMaxByMinor: Record<number, number> = { 20: 21, 21: 21, 22: 22, 23: 23, 27: 26 }

/** What this device is, as far as the operating system tells. */
export function hardwareOf(sysfs: Sysfs, stateDir: string): Birth['hardware'] {
  const named = sysfs.readFile('/proc/device-tree/model') ?? sysfs.readFile('/sys/class/dmi/id/product_name')
  return {
    model: (named || cpus()[0]?.model || 'unknown').slice(0, 128),
    arch: arch(),
    os: `${type()} ${release()}`.slice(0, 128),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    diskFreeBytes: diskFreeBytes(stateDir),
  }
}

/** What is true of this device at this connection. */
export function birthOf(
  facts: Pick<Birth, 'bootId' | 'connection' | 'at' | 'agentVersion' | 'metadata' | 'directiveVersion'>,
  device: {
    sysfs: Sysfs
    stateDir: string
    runtime: Runtime
    slots: readonly (readonly [string, SlotState])[]
  },
): Birth {
  const { sysfs, stateDir, runtime, slots } = device
  const held = slots.flatMap(([name, { active }]) => {
    const { model, version, releaseDigest } = active ?? {}
    return model && version && releaseDigest ? [[name, { model, version, releaseDigest }]] : []
  })
  return {
    ...facts,
    hardware: hardwareOf(sysfs, stateDir),
    runtime: { ...runtime, opsetMax: opsetMaxOf(runtime) },
    slots: Object.fromEntries(held),
  }
}
