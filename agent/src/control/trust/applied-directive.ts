import type { Directive } from '@godwit/protocol/messages/directive'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { canonicalBytes } from '@godwit/protocol/trust/canonical'
import { checkDirective } from '@godwit/protocol/trust/director'
import type { Root } from '@godwit/protocol/trust/metadata'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import type { EpochMs } from '@godwit/protocol/units'
import { readIfReadable, writeDurably } from '../files.ts'
import { flawOfDirective, readDirective } from './read.ts'

export type Names = { fleet: string; deviceId: string }
export type TakenDirective = { directive: Directive; unchanged: boolean }

/** The goal state last applied, on the disk as it came: it decides which one counts as newer. */
export class AppliedDirective {
  readonly #path: string
  readonly #names: Names
  #directive: Directive | undefined
  #applied: { version: number; digest: string } | undefined

  constructor(path: string, names: Names) {
    this.#path = path
    this.#names = names
    // The slots' journals remember the version that they answered.
    const bytes = readIfReadable(path)
    const read = bytes && readDirective(bytes)
    if (!read) return
    this.#directive = read
    this.#applied = { version: read.version, digest: sha256Hex(canonicalBytes(read)) }
  }

  get directive(): Directive | undefined {
    return this.#directive
  }

  check(bytes: Uint8Array, root: Root, now: EpochMs) {
    return checkDirective(bytes, root, { ...this.#names, now, applied: this.#applied })
  }

  /** Stores what `check` has trusted, and only then returns it. */
  keep(bytes: Uint8Array, checked: { unchanged: boolean; digest: string }): Verdict<TakenDirective> {
    const directive = readDirective(bytes)
    if (!directive) return refuse('malformed', flawOfDirective(bytes))
    if (!checked.unchanged) {
      writeDurably(this.#path, bytes)
      this.#applied = { version: directive.version, digest: checked.digest }
    }
    this.#directive = directive
    return accept({ directive, unchanged: checked.unchanged })
  }
}
