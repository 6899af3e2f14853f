import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrustedTime } from '@godwit/agent/control/clock'
import { pathsIn } from '@godwit/agent/control/paths'
import type { FetchMetadata } from '@godwit/agent/control/trust/carrier'
import { Trust } from '@godwit/agent/control/trust/trust'
import { defaultProbation } from '@godwit/protocol/messages/directive'
import { targetPathOf } from '@godwit/protocol/release/release'
import { topics } from '@godwit/protocol/topics'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { expect, onTestFinished } from 'vitest'
import { dateOf, dayMs, now, signerOf, TufRepository } from '../support/tuf-repository.ts'

export const fleet = 'plant'
export const deviceId = 'cam'
export type Goal = { model: string; version: string; releaseDigest: string; releaseBytes: number }

/**
 * A device with the agent's own trust code on a disk of its own, and the repository that it began with. Attackers are
 * tests: they change the repository, sign with keys that they hold, and choose what the device gets to hear.
 */
export class Victim {
  readonly directory = mkdtempSync(join(tmpdir(), 'godwit-victim-'))
  readonly repository = new TufRepository({ extraRoles: ['director'] })
  readonly #firstRoot = this.repository.files.get('1.root.json')!
  /** What the device's clock says; a test turns it. */
  wallMs = now
  /** Durable, as the agent's database is. */
  floorMs = now - 400 * dayMs
  trust: Trust
  readonly #fetch: FetchMetadata | undefined

  constructor(fetch?: FetchMetadata) {
    this.#fetch = fetch
    this.trust = this.#start()
    onTestFinished(() => rmSync(this.directory, { recursive: true, force: true }))
  }

  /** Power off and on: all that survives is the disk. */
  restart(): void {
    this.trust = this.#start()
  }

  #start(): Trust {
    const clock = { wallMs: () => this.wallMs, monotonicMs: () => 0 }
    const time = new TrustedTime(clock, this.floorMs, (value) => {
      this.floorMs = value
    })
    return new Trust({
      paths: pathsIn(this.directory),
      names: { fleet, deviceId },
      time,
      pinnedRoot: this.#firstRoot,
      ...(this.#fetch && { fetchMetadata: this.#fetch }),
    })
  }

  /** A new connection on which a broker hands out these documents, by the names that HTTP has for them. */
  async hears(files: ReadonlyMap<string, Uint8Array> = this.repository.files) {
    this.trust.forgetHeard()
    for (const [name, bytes] of files) {
      const [, version, role] = /^(?:(\d+)\.)?([a-z-]+)\.json$/.exec(name)!
      this.trust.heard(topics.meta(fleet, role!, version === undefined ? undefined : Number(version)), bytes)
    }
    return this.trust.refresh()
  }

  /** A copy of what is served now, for later. */
  recorded(): Map<string, Uint8Array> {
    return new Map(this.repository.files)
  }

  /** Lists a release under a name, as publishers do; nothing is signed yet. */
  lists(model: string, version: string, content = `release ${model} ${version}`, role = 'targets'): Goal {
    const bytes = Buffer.from(content)
    const releaseDigest = createHash('sha256').update(bytes).digest('hex')
    this.repository.targets.get(role)!.targets[targetPathOf(model, version)] = {
      length: bytes.length,
      hashes: { sha256: releaseDigest },
      custom: { kind: 'godwit-release/1', model, version, releaseCounter: 1 },
    }
    return { model, version, releaseDigest, releaseBytes: bytes.length }
  }

  finds({ model, version, releaseDigest, releaseBytes }: Goal) {
    return this.trust.findRelease(model, version, releaseDigest, releaseBytes)
  }

  directive(version: number, change: object = {}, signer = 'director-1'): Uint8Array {
    const document = {
      ...{ _type: 'directive', specVersion: 1, fleet, deviceId, version },
      ...{ issued: dateOf(now), expires: dateOf(now + 30 * dayMs) },
      slots: {},
      telemetry: { windowMs: 60_000 },
      ...change,
    }
    const { seed, key } = signerOf(signer)
    return encodeEnvelope(signDocument(document, seed, key))
  }

  takes(directive: Uint8Array) {
    return this.trust.takeDirective(directive)
  }
}

export const slotFor = (goal: Goal) => ({ slots: { default: { ...goal, probation: defaultProbation } } })

/** What an attack comes to, when it fails. */
export const refused = (because: string, detail?: RegExp) => ({
  trusted: false,
  because,
  ...(detail && { detail: expect.stringMatching(detail) }),
})
