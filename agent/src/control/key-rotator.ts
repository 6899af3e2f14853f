import type { Identity } from './identity.ts'
import { because, type Log } from './log.ts'
import type { Paths } from './paths.ts'
import { isRotationAsked, type RotationDeps, rotateKey } from './rotate-key.ts'

export type KeyRotatorDeps = RotationDeps & { log: Log; onRotated: () => void }

/** Does what `godwit-agent rotate-key` asked for, or what was begun before a power cut. */
export class KeyRotator {
  readonly #paths: Paths
  readonly #identity: Identity
  readonly #deps: KeyRotatorDeps
  #isRotating = false

  /** @param identity holds the new key afterwards; the link comes up again with that */
  constructor(paths: Paths, identity: Identity, deps: KeyRotatorDeps) {
    this.#paths = paths
    this.#identity = identity
    this.#deps = deps
  }

  /** Called often; mostly there is nothing to do. Never rejects. */
  async look(): Promise<void> {
    if (this.#isRotating || !isRotationAsked(this.#paths)) return
    const { log, onRotated } = this.#deps
    this.#isRotating = true
    try {
      const from = this.#identity.keyid
      Object.assign(this.#identity, await rotateKey(this.#paths, this.#identity, this.#deps))
      log.info({ from, to: this.#identity.keyid }, 'device key rotated')
      onRotated()
    } catch (error) {
      log.warn({ because: because(error) }, 'cannot rotate the device key yet')
    } finally {
      this.#isRotating = false
    }
  }
}
