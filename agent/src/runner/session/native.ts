import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { GoldenCase } from '@godwit/protocol/release/golden'
import type { InferenceSession } from 'onnxruntime-node'
import { type Outcome, refuse } from '../outcome.ts'
import { OrtSession } from './ort-session.ts'
import { placedNodes } from './placement.ts'
import { isPlacedOn, providersToTry, usableProviders } from './providers.ts'
import type { Runtime, Session } from './session.ts'

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

/**
 * By path: from a buffer a model is held in memory twice (200 against 401 MB for one of 100 MB).
 *
 * ONNX Runtime gives every node that an accelerator does not take to the CPU and says nothing about it, so an
 * accelerator is tried with one golden vector under its profiler first: it serves only if a node ran on it.
 *
 * @param sample what an accelerator is tried with; without one, none is
 */
export async function openNative(
  path: string,
  asked: readonly string[],
  threads: number,
  sample?: GoldenCase,
): Promise<Outcome<Session>> {
  const usable = nativeRuntime().executionProviders
  const providers = providersToTry(asked, usable)
  if (providers.length === 0) {
    return refuse('unsupported_ep', `asked for ${asked.join(', ')}; this device runs ${usable.join(', ')}`)
  }
  let reason = ''
  for (const provider of providers) {
    try {
      const nodes = provider === 'cpu' ? undefined : await nodesOn(path, provider, threads, sample)
      if (nodes && !isPlacedOn(nodes, provider)) {
        reason = `${provider}: no node of the model ran on it`
        continue
      }
      const session = await ort().InferenceSession.create(path, sessionOptions(provider, threads))
      return { ok: true, value: new OrtSession(ort().Tensor, session, provider, nodes) }
    } catch (error) {
      // An accelerator that will not start leaves the next one to try; the last reason is the one to tell.
      reason = `${provider}: ${(error as Error).message}`
    }
  }
  return refuse('selftest_load', reason)
}

/** How many nodes of the model each provider runs when this one is asked for. */
export async function nodesOn(path: string, provider: string, threads: number, sample?: GoldenCase) {
  if (!sample) throw new Error('no sample to find out with what runs there')
  return placedNodes(sample, async (profile) => {
    const options = { ...sessionOptions(provider, threads), ...profile }
    return new OrtSession(ort().Tensor, await ort().InferenceSession.create(path, options), provider)
  })
}

function sessionOptions(provider: string, threads: number): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // DirectML refuses a session with it.
    enableMemPattern: provider !== 'dml',
    logSeverityLevel: 3,
    // Threads that spin while they wait cost 22 times the energy of the work at 10 inferences a second.
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  }
}
