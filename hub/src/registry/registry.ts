import type { ProbationPolicy, SlotGoal } from '@godwit/protocol/messages/directive'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import type { Release } from '@godwit/protocol/release/release'
import type { Blobs } from '../blobs/blobs.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../store/database.ts'
import { insertSignature, signaturesOf } from '../store/model-signature-store.ts'
import {
  aliasesOf,
  allModels,
  changeAlias,
  insertModel,
  insertVersion,
  modelByName,
  releaseJsonOf,
  versionByName,
  versionOfDigest,
  versionsOf,
} from '../store/registry-store.ts'
import type { Audit } from '../trust/audit.ts'
import type { Model, ModelVersion } from './model.ts'
import { type ModelSignature, readModelSignature, signaturesMax } from './model-signature.ts'
import { mistakesOfBundle, type PublishLimits, type PublishVerdict, readRelease } from './publish.ts'

/** Models and their versions. */
export type Registry = {
  models(): Promise<Model[]>
  model(name: string): Promise<Model | undefined>
  /** Undefined when the name is taken. */
  createModel(name: string, description: string, who: string): Promise<Model | undefined>
  versions(model: string): Promise<ModelVersion[]>
  version(model: string, version: string): Promise<ModelVersion | undefined>
  versionByDigest(releaseDigest: string): Promise<ModelVersion | undefined>
  release(model: string, version: string): Promise<Release | undefined>
  /** A version enters only after every check of publish.ts; it is not listed until the publishers sign for it. */
  publish(releaseBytes: Uint8Array, who: string): Promise<PublishVerdict>
  /** What a directive says of a version; undefined when there is none such. Whether it is listed is the caller's question. */
  goal(model: string, version: string, probation: ProbationPolicy): Promise<SlotGoal | undefined>
  aliases(model: string): Promise<Record<string, string>>
  /** False when there is no such version. */
  setAlias(model: string, alias: string, version: string, who: string): Promise<boolean>
  removeAlias(model: string, alias: string, who: string): Promise<boolean>
  /** OpenSSF signatures over the version's files, for people who verify them with tools of their own. */
  signatures(model: string, version: string): Promise<ModelSignature[]>
  addSignature(model: string, version: string, bytes: Uint8Array, who: string): Promise<SignatureVerdict>
}
export type SignatureVerdict =
  | { added: true; signature: ModelSignature; created: boolean }
  | { added: false; because: string; detail: string }

type Around = { database: Database; clock: Clock; audit: Audit; blobs: Blobs; limits: PublishLimits }

export function createRegistry({ database, clock, audit, blobs, limits }: Around): Registry {
  const { db, transaction } = database

  return {
    models: () => allModels(db),
    model: (name) => modelByName(db, name),

    createModel: (name, description, who) =>
      transaction(async (trx) => {
        const model = { name, description, createdAt: clock() }
        if (!(await insertModel(trx, model))) return undefined
        await audit.append(trx, { who, action: 'model.create', subject: name })
        return model
      }),

    versions: (model) => versionsOf(db, model),
    version: (model, version) => versionByName(db, model, version),
    versionByDigest: (releaseDigest) => versionOfDigest(db, releaseDigest),

    async release(model, version) {
      const json = await releaseJsonOf(db, model, version)
      return json === undefined ? undefined : JSON.parse(json)
    },

    async goal(model, name, probation) {
      const version = await versionByName(db, model, name)
      if (!version) return undefined
      const { releaseDigest, releaseBytes } = version
      return { model, version: name, releaseDigest, releaseBytes, probation }
    },

    async publish(bytes, who) {
      const read = readRelease(bytes)
      if (!read.ok) return { published: false, because: 'not-valid', mistakes: read.mistakes }
      const mistakes = await mistakesOfBundle(read.release, blobs, limits)
      if (mistakes.length > 0) return { published: false, because: 'not-valid', mistakes }
      // Devices ask for the document by digest like for any block, so it is a blob too. Before the row that names it.
      await blobs.put(sha256Hex(bytes), oneChunk(bytes))
      return enter(read.release, bytes, who)
    },

    signatures: (model, version) => signaturesOf(db, model, version),
    addSignature,

    aliases: (model) => aliasesOf(db, model),

    setAlias: (model, alias, version, who) =>
      transaction(async (trx) => {
        if (!(await versionByName(trx, model, version))) return false
        await changeAlias(trx, { model, alias, version, at: clock(), who })
        await audit.append(trx, { who, action: 'alias.set', subject: model, detail: { alias, version } })
        return true
      }),

    removeAlias: (model, alias, who) =>
      transaction(async (trx) => {
        if (!Object.hasOwn(await aliasesOf(trx, model), alias)) return false
        await changeAlias(trx, { model, alias, version: null, at: clock(), who })
        await audit.append(trx, { who, action: 'alias.remove', subject: model, detail: { alias } })
        return true
      }),
  }

  async function addSignature(
    model: string,
    version: string,
    bytes: Uint8Array,
    who: string,
  ): Promise<SignatureVerdict> {
    const json = await releaseJsonOf(db, model, version)
    if (json === undefined)
      return { added: false, because: 'unknown_version', detail: `no version ${version} of ${model}` }
    const read = readModelSignature(bytes, JSON.parse(json) as Release)
    if (!read.ok) return { added: false, because: read.because, detail: read.detail }
    const { hint, root } = read
    const sha256 = sha256Hex(bytes)
    await blobs.put(sha256, oneChunk(bytes))
    return transaction(async (trx): Promise<SignatureVerdict> => {
      const held = await signaturesOf(trx, model, version)
      const same = held.find((one) => one.sha256 === sha256)
      if (same) return { added: true, signature: same, created: false }
      if (held.length >= signaturesMax) {
        const detail = `${model} ${version} has ${held.length} signatures, at most ${signaturesMax} are kept`
        return { added: false, because: 'too_many', detail }
      }
      const signature = { sha256, sizeBytes: bytes.length, hint, root, addedAt: clock(), addedBy: who }
      await insertSignature(trx, model, version, signature)
      await audit.append(trx, {
        who,
        action: 'version.model-signature',
        subject: model,
        detail: { version, hint, root, sha256 },
      })
      return { added: true, signature, created: true }
    })
  }

  function enter(release: Release, bytes: Uint8Array, who: string): Promise<PublishVerdict> {
    const { model, version, releaseCounter } = release
    const releaseDigest = sha256Hex(bytes)
    const published = { published: true, model, version, releaseDigest } as const
    return transaction(async (trx): Promise<PublishVerdict> => {
      const versions = await versionsOf(trx, model)
      const held = versions.find((v) => v.version === version)
      // The same bytes again: somebody whose answer was lost.
      if (held?.releaseDigest === releaseDigest) return { ...published, created: false }
      if (held) {
        const detail = `${model} ${version} exists with digest ${held.releaseDigest}: a version never changes`
        return { published: false, because: 'version-exists', mistakes: [{ pointer: '#/version', detail }] }
      }
      const newest = versions[0]
      if (newest && newest.releaseCounter >= releaseCounter) {
        const last = `${newest.releaseCounter} of version ${newest.version}`
        const detail = `releaseCounter ${releaseCounter}: expected more than ${last}`
        return { published: false, because: 'not-valid', mistakes: [{ pointer: '#/releaseCounter', detail }] }
      }
      const now = clock()
      if (await insertModel(trx, { name: model, description: '', createdAt: now })) {
        await audit.append(trx, { who, action: 'model.create', subject: model })
      }
      const times = { createdAt: now, createdBy: who }
      const row = { model, version, releaseDigest, releaseCounter, releaseBytes: bytes.length, ...times }
      await insertVersion(trx, row, new TextDecoder().decode(bytes))
      const detail = { version, releaseDigest }
      await audit.append(trx, { who, action: 'version.publish', subject: model, detail })
      return { ...published, created: true }
    })
  }
}

async function* oneChunk(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}
