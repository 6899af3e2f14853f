import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { type Outcome, refuse } from '../outcome.ts'
import { OrtSession } from './ort-session.ts'
import type { Runtime, Session } from './session.ts'

type Ort = typeof import('onnxruntime-web/wasm')

const require = createRequire(import.meta.url)
let loaded: Ort | undefined

/** The engine comes out of the package on the disk as bytes, so that nothing can ever go and fetch it. */
function ort(): Ort {
  if (loaded) return loaded
  loaded = require('onnxruntime-web/wasm') as Ort
  loaded.env.logLevel = 'error'
  loaded.env.wasm.wasmBinary = toArrayBuffer(
    readFileSync(require.resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm')),
  )
  loaded.env.wasm.proxy = false
  return loaded
}

/** It needs nothing of the board but a JavaScript engine: where no native runtime exists or starts. */
export function wasmRuntime(): Runtime {
  const { env } = ort()
  return {
    name: 'onnxruntime-web',
    version: env.versions.web ?? 'unknown',
    executionProviders: ['wasm'],
  }
}

/** What is made for the CPU runs on it too: the golden vectors judge whether as well. */
export async function openWasm(
  path: string,
  asked: readonly string[],
  threads: number,
): Promise<Outcome<Session>> {
  if (!asked.includes('cpu') && !asked.includes('wasm'))
    return refuse('unsupported_ep', `asked for ${asked.join(', ')}; this device runs wasm`)
  const { env, InferenceSession, Tensor } = ort()
  // Read once, when the first session is made; a runner makes one.
  env.wasm.numThreads = threads
  try {
    const session = await InferenceSession.create(new Uint8Array(await readFile(path)), {
      // Written here each time: the library adds to the object that it is given.
      executionProviders: ['wasm'],
      executionMode: 'sequential',
      logSeverityLevel: 3,
    })
    return { ok: true, value: new OrtSession(Tensor, session, 'wasm') }
  } catch (error) {
    return refuse('selftest_load', `wasm: ${(error as Error).message}`)
  }
}

function toArrayBuffer(bytes: Buffer): ArrayBuffer {
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
}
