import type { OpenSession } from './load.ts'
import { nativeRuntime, openNative } from './session/native.ts'
import type { Runtime } from './session/session.ts'
import { openWasm, wasmRuntime } from './session/wasm.ts'

/** What runs models: ONNX Runtime as the board's own code, or as WebAssembly. Nothing is loaded before it is asked. */
export type Engine = { runtime: () => Runtime; open: OpenSession }

export const engines: Readonly<Record<'native' | 'wasm', Engine>> = {
  native: { runtime: nativeRuntime, open: openNative },
  wasm: { runtime: wasmRuntime, open: openWasm },
}
