import type { Runtime } from '../runner/session/session.ts'
import type { RunnerFailure } from './cage.ts'
import { because } from './log.ts'

export type EngineName = 'native' | 'wasm'
export type EngineSetting = 'auto' | EngineName

export type EngineDeps = {
  setting: EngineSetting
  /** Starts a runner that tries the engine, and ends it. @throws RunnerFailure */
  tryOut: (engine: EngineName) => Promise<Runtime>
  /** A try that went well on this very board and build need not be repeated at every start. */
  isKnownGood: () => boolean
  knowGood: () => void
  onRuntime: (runtime: Runtime) => void
  tell: (kind: string, severity: 'warning' | 'alarm', detail: Record<string, string>) => void
}

/**
 * Which engine runs models on this board. ONNX Runtime's own code is the faster; where it has no binary, or dies of an
 * instruction that the board lacks, WebAssembly does the same work. Found out in a process that nobody else needs.
 */
export class Engine {
  readonly #deps: EngineDeps
  #found: Promise<EngineName> | undefined

  constructor(deps: EngineDeps) {
    this.#deps = deps
  }

  /** Never rejects: an engine that does not work shows when a model is to be loaded. */
  current(): Promise<EngineName> {
    const { setting, isKnownGood } = this.#deps
    const best = setting === 'wasm' ? 'wasm' : 'native'
    this.#found ??= isKnownGood() ? Promise.resolve(best) : this.#find(best)
    return this.#found
  }

  /** A runner did not even come up: what was known of this board may not hold any more. */
  async doubt(): Promise<void> {
    if (this.#deps.setting === 'auto' && (await this.current()) === 'native')
      this.#found = this.#find('native')
  }

  async #find(best: EngineName): Promise<EngineName> {
    const { setting, knowGood, tell } = this.#deps
    const failure = await this.#tried(best)
    if (failure === undefined) {
      knowGood()
      return best
    }
    const { code, detail } = failure
    if (setting === 'auto' && (await this.#tried('wasm')) === undefined) {
      tell('engine_fallback', 'warning', { engine: 'wasm', code, because: detail })
      return 'wasm'
    }
    tell('engine_missing', 'alarm', { engine: best, code, because: detail })
    return best
  }

  async #tried(engine: EngineName): Promise<{ code: string; detail: string } | undefined> {
    try {
      this.#deps.onRuntime(await this.#deps.tryOut(engine))
      return undefined
    } catch (error) {
      const { code = 'internal' } = error as Partial<RunnerFailure>
      return { code, detail: because(error).slice(0, 500) }
    }
  }
}
