import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Dtype, TensorInfo } from '@godwit/protocol/release/release'
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { type Outcome, refuse } from '../outcome.ts'
import { providersToTry, usableProviders } from './providers.ts'
import type { Session, Tensors } from './session.ts'

type Ort = typeof import('onnxruntime-node')

const require = createRequire(import.meta.url)
let loaded: Ort | undefined

/** Loaded on first use and not by an import: main.ts switches its telemetry off before. */
function ort(): Ort {
  if (loaded) return loaded
  if (process.env['ORT_DISABLE_TELEMETRY'] !== '1')
    throw new Error('ORT_DISABLE_TELEMETRY must be 1 before ORT loads')
  loaded = require('onnxruntime-node') as Ort
  loaded.env.logLevel = 'error'
  return loaded
}

export type Runtime = { name: string; version: string; executionProviders: string[] }

export function nativeRuntime(): Runtime {
  const { env, listSupportedBackends } = ort()
  const folder = join(dirname(require.resolve('onnxruntime-node/package.json')), 'bin/napi-v6')
  const besideIt = (library: string) => existsSync(join(folder, process.platform, process.arch, library))
  return {
    name: 'onnxruntime-node',
    version: env.versions.node ?? 'unknown',
    executionProviders: usableProviders(listSupportedBackends(), process.platform, besideIt, hasRenderNode),
  }
}

function hasRenderNode(): boolean {
  return existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD'))
}

/** By path: from a buffer a model is held in memory twice (200 against 401 MB for one of 100 MB). */
export async function openNative(
  path: string,
  asked: readonly string[],
  threads: number,
): Promise<Outcome<Session>> {
  const usable = nativeRuntime().executionProviders
  const providers = providersToTry(asked, usable)
  if (providers.length === 0) {
    return refuse('unsupported_ep', `asked for ${asked.join(', ')}; this device runs ${usable.join(', ')}`)
  }
  let reason = ''
  for (const provider of providers) {
    try {
      const session = await ort().InferenceSession.create(path, sessionOptions(provider, threads))
      return { ok: true, value: new NativeSession(session, provider) }
    } catch (error) {
      // An accelerator that will not start leaves the next one to try; the last reason is the one to tell.
      reason = `${provider}: ${(error as Error).message}`
    }
  }
  return refuse('selftest_load', reason)
}

function sessionOptions(provider: string, threads: number): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: 3,
    // Threads that spin while they wait cost 22 times the energy of the work at 10 inferences a second.
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  }
}

class NativeSession implements Session {
  readonly inputs: readonly TensorInfo[]
  readonly outputs: readonly TensorInfo[]
  readonly executionProvider: string
  readonly #session: InferenceSession

  constructor(session: InferenceSession, executionProvider: string) {
    this.#session = session
    this.executionProvider = executionProvider
    this.inputs = session.inputMetadata.flatMap(infoOf)
    this.outputs = session.outputMetadata.flatMap(infoOf)
  }

  tensor(dtype: Dtype, shape: readonly number[], data: Tensors[string]['data']) {
    return new (ort().Tensor)(dtype as 'float32', data as Float32Array, shape)
  }

  run(feeds: Tensors, outputs: readonly string[]): Promise<Tensors> {
    return this.#session.run(feeds as Record<string, Tensor>, outputs) as Promise<Tensors>
  }

  release(): Promise<void> {
    return this.#session.release()
  }
}

function infoOf(metadata: InferenceSession.ValueMetadata): TensorInfo[] {
  if (!metadata.isTensor) return []
  return [{ name: metadata.name, dtype: metadata.type as Dtype, shape: [...metadata.shape] }]
}
