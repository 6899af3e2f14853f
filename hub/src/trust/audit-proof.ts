import { defineDocument, EpochMs, Sha256Hex } from '@godwit/protocol/schema'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { checkInitialRoot, checkNextRoot } from '@godwit/protocol/trust/checks'
import { sameBytes, utf8 } from '@godwit/protocol/trust/encoding'
import { openEnvelope, verifyThreshold } from '@godwit/protocol/trust/envelope'
import { ed25519Only } from '@godwit/protocol/trust/key'
import { openMetadata, own, type Root } from '@godwit/protocol/trust/metadata'
import Type, { type Static } from 'typebox'
import { beginning, type ChainEnd, type ChainFlaw, flawOfNext } from './audit-chain.ts'
import { type AuditCheckpoint, auditCheckpoint } from './audit-checkpoint.ts'
import { exportFormat } from './audit-export.ts'

export type ProofRefusal =
  | ChainFlaw['because']
  | 'export_malformed'
  | 'export_incomplete'
  | 'root_untrusted'
  | 'checkpoint_untrusted'
  | 'checkpoint_wrong_fleet'
  | 'checkpoint_mismatch'
  | 'checkpoint_missing'
  | 'earlier_export_differs'

export type AuditProof = {
  fleet: string
  exportedAt: string
  entries: number
  checkpoints: number
  /** The last entry, and when the hub signed for it: what it did later is in no export of that time. */
  provedUpTo: { id: number; hash: string; signedAt: number }
}
export type ProofVerdict<T> = { proved: true; value: T } | ProofRefused
export type ProofRefused = { proved: false; because: ProofRefusal; detail: string }

const Count = Type.Integer({ minimum: 0 })
const closed = { additionalProperties: false }
const Header = Type.Object(
  { format: Type.Literal(exportFormat), fleet: Type.String(), exportedAt: Type.String() },
  closed,
)
const Entry = Type.Object(
  {
    id: Type.Integer({ minimum: 1 }),
    at: EpochMs,
    ...{ who: Type.String(), action: Type.String(), subject: Type.String(), detail: Type.String() },
    ...{ previousHash: Sha256Hex, hash: Sha256Hex },
  },
  closed,
)
const End = Type.Object({ entries: Count, checkpoints: Count }, closed)
const headerLine = defineDocument('first line', Header)
const exportLine = defineDocument(
  'line',
  Type.Object(
    {
      root: Type.Optional(Type.String()),
      entry: Type.Optional(Entry),
      checkpoint: Type.Optional(Type.Object({})),
      end: Type.Optional(End),
    },
    { ...closed, minProperties: 1, maxProperties: 1 },
  ),
)

const fail = (because: ProofRefusal, detail: string): ProofRefused => ({ proved: false, because, detail })

/**
 * Proves an export of the audit line by line, without a network, from one root document that the reader trusts.
 * The first refusal is the answer.
 */
export class AuditReader {
  /** Trusted, by version: the pinned one, and those that follow from it. */
  readonly #roots = new Map<number, { root: Root; bytes: Uint8Array }>()
  #header: Static<typeof Header> | undefined
  #newestRoot: Root
  /** The root whose director may sign, as the audit itself tells it. */
  #inForce: number
  #last: ChainEnd = beginning
  #covered: AuditCheckpoint | undefined
  #entries = 0
  #checkpoints = 0
  #end: Static<typeof End> | undefined
  readonly #earlier: ChainEnd | undefined

  private constructor(pinned: Root, bytes: Uint8Array, earlier?: ChainEnd) {
    this.#earlier = earlier
    this.#roots.set(pinned.version, { root: pinned, bytes })
    this.#newestRoot = pinned
    this.#inForce = pinned.version
  }

  /**
   * @param pinnedRoot best the fleet's first: an earlier checkpoint may be signed by a director that a later one left out
   * @param earlier where an export that was proved before ended: this one must go on from there
   */
  static open(pinnedRoot: Uint8Array, earlier?: ChainEnd): ProofVerdict<AuditReader> {
    const root = checkInitialRoot(pinnedRoot, ed25519Only)
    if (!root.trusted) return fail('root_untrusted', root.detail)
    return { proved: true, value: new AuditReader(root.value, pinnedRoot, earlier) }
  }

  /** Takes the next line; answers what is wrong with it. */
  line(text: string): ProofRefused | undefined {
    const parsed = parseStrict(utf8(text))
    if (!parsed.ok) return fail('export_malformed', parsed.detail)
    if (!this.#header) {
      const header = headerLine.check(parsed.value)
      if (!header.ok) return fail('export_malformed', header.detail)
      this.#header = header.value
      return undefined
    }
    const read = exportLine.check(parsed.value)
    if (!read.ok) return fail('export_malformed', read.detail)
    if (this.#end) return fail('export_malformed', 'there are lines after the end')
    const { root, entry, checkpoint, end } = read.value
    if (root !== undefined) return this.#takeRoot(utf8(root))
    if (entry) return this.#takeEntry(entry)
    if (checkpoint) return this.#takeCheckpoint(checkpoint, this.#header.fleet)
    this.#end = end
    return undefined
  }

  /** After the last line. */
  finish(): ProofVerdict<AuditProof> {
    const { entries, checkpoints } = { entries: this.#entries, checkpoints: this.#checkpoints }
    if (!this.#header || !this.#end) return fail('export_incomplete', 'the file ends before the export does')
    if (this.#end.entries !== entries || this.#end.checkpoints !== checkpoints) {
      const said = `${this.#end.entries} entries and ${this.#end.checkpoints} checkpoints`
      return fail('export_incomplete', `expected ${said}, found ${entries} and ${checkpoints}`)
    }
    const { fleet, exportedAt } = this.#header
    if (!this.#covered) return fail('checkpoint_missing', `no checkpoint covers any of ${entries} entries`)
    const { lastId, hash, at } = this.#covered
    // A hub signs for the last entry before an export leaves it: what lies behind was cut off, or added.
    if (this.#last.id !== lastId)
      return fail('checkpoint_missing', `the export ends at entry ${this.#last.id}, signed for is ${lastId}`)
    if (this.#earlier && this.#earlier.id > lastId) {
      const detail = `the earlier export went to entry ${this.#earlier.id}, this one ends at ${lastId}`
      return fail('earlier_export_differs', detail)
    }
    const provedUpTo = { id: lastId, hash, signedAt: at }
    return { proved: true, value: { fleet, exportedAt, entries, checkpoints, provedUpTo } }
  }

  #takeRoot(bytes: Uint8Array): ProofRefused | undefined {
    const opened = openMetadata(bytes, 'root', ed25519Only)
    if (!opened.trusted) return fail('root_untrusted', opened.detail)
    const { version } = opened.value.signed
    const held = this.#roots.get(version)
    if (held) {
      const isSame = sameBytes(held.bytes, bytes)
      return isSame ? undefined : fail('root_untrusted', `root ${version} is not the one that is trusted`)
    }
    // Older than what is pinned: nothing follows from it.
    if (version < this.#newestRoot.version) return undefined
    const next = checkNextRoot(this.#newestRoot, bytes, ed25519Only)
    if (!next.trusted) return fail('root_untrusted', next.detail)
    this.#newestRoot = next.value
    this.#roots.set(version, { root: next.value, bytes })
    return undefined
  }

  #takeEntry(entry: Static<typeof Entry>): ProofRefused | undefined {
    const flaw = flawOfNext(this.#last, entry)
    if (flaw) return fail(flaw.because, flaw.detail)
    if (entry.id === this.#earlier?.id && entry.hash !== this.#earlier.hash)
      return fail('earlier_export_differs', `entry ${entry.id} is not the one that the earlier export held`)
    this.#last = { id: entry.id, hash: entry.hash }
    this.#entries++
    // From here on only the new root's director counts: a key that it left out may be in other hands.
    if (entry.action === 'root.accept') this.#inForce = Math.max(this.#inForce, Number(entry.subject) || 0)
    return undefined
  }

  #takeCheckpoint(envelope: object, fleet: string): ProofRefused | undefined {
    const opened = openEnvelope(utf8(JSON.stringify(envelope)), 'audit-checkpoint')
    if (!opened.trusted) return fail('export_malformed', opened.detail)
    const read = auditCheckpoint.check(opened.value.signed)
    if (!read.ok) return fail('export_malformed', read.detail)
    const { lastId, hash } = read.value
    const root = this.#roots.get(this.#inForce)?.root
    if (!root) {
      return fail('root_untrusted', `the audit speaks of root ${this.#inForce}, the export does not hold it`)
    }
    const director = own(root.roles, 'director')
    const signed = director && verifyThreshold(opened.value, root.keys, director, ed25519Only)
    if (!signed?.trusted) {
      const why = `not signed by a director of root ${root.version}`
      return fail('checkpoint_untrusted', `checkpoint at entry ${lastId}: ${why}`)
    }
    if (read.value.fleet !== fleet) {
      const found = `expected fleet ${fleet}, found ${read.value.fleet}`
      return fail('checkpoint_wrong_fleet', `checkpoint at entry ${lastId}: ${found}`)
    }
    if (lastId > this.#last.id)
      return fail(
        'entry_missing',
        `a checkpoint was signed at entry ${lastId}, here it follows ${this.#last.id}`,
      )
    if (lastId !== this.#last.id || hash !== this.#last.hash) {
      const detail = `the checkpoint at entry ${lastId} was signed over another audit than this`
      return fail('checkpoint_mismatch', detail)
    }
    this.#covered = read.value
    this.#checkpoints++
    return undefined
  }
}
