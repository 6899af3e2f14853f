import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { mediumLayout } from '@godwit/protocol/release/medium'
import { readIfThere } from '../files.ts'
import type { Paths } from '../paths.ts'
import type { Trust } from '../trust/trust.ts'
import { hearMetadata } from './metadata.ts'

export type MediumDeps = {
  paths: Paths
  fleet: string
  trust: Trust
  /** As if they had come over the wire. */
  onMetadata: () => Promise<void>
  onDirective: (payload: Uint8Array) => Promise<void>
  onNew: (hasDirective: boolean) => void
}

/**
 * What `godwit-agent import` has laid into the state directory. Looked for rather than told of, so that it is found by an
 * agent that runs and by one that starts later, and no socket has to be kept from strangers.
 */
export class Medium {
  readonly #deps: MediumDeps
  readonly #directory: string
  /** Device, inode and time of the directory that was taken. */
  #taken = ''

  constructor(deps: MediumDeps) {
    this.#deps = deps
    this.#directory = join(deps.paths.root, 'medium')
  }

  /** One look at the file system; takes what is new. */
  async look(): Promise<void> {
    const found = statSync(this.#directory, { throwIfNoEntry: false })
    const mark = found ? `${found.dev}/${found.ino}/${found.mtimeMs}` : ''
    if (mark === this.#taken) return
    const metadata = found && this.#metadata()
    const directive = found && readIfThere(join(this.#directory, 'directive.json'))
    // Behind the reading: what cannot be read now is looked at again.
    this.#taken = mark
    if (!metadata) return
    const { fleet, trust, onMetadata, onDirective, onNew } = this.#deps
    hearMetadata(trust, fleet, metadata)
    onNew(directive !== undefined)
    await onMetadata()
    if (directive) await onDirective(directive)
  }

  /** Its releases have been answered, well or badly; the space is wanted for other things. */
  remove(): void {
    if (this.#taken === '') return
    rmSync(this.#directory, { recursive: true, force: true })
    this.#taken = ''
  }

  #metadata(): Map<string, Uint8Array> {
    const directory = join(this.#directory, mediumLayout.metadata)
    return new Map(
      readdirSync(directory).flatMap((name) => {
        const bytes = readIfThere(join(directory, name))
        return bytes ? [[name, new Uint8Array(bytes)] as const] : []
      }),
    )
  }
}
