import { hashOfEntry } from '@godwit/hub/trust/audit-chain'
import { signedCheckpoint } from '@godwit/hub/trust/audit-checkpoint'
import { exportLines } from '@godwit/hub/trust/audit-export'
import { type AuditProof, AuditReader, type ProofVerdict } from '@godwit/hub/trust/audit-proof'
import { newHubKeys } from '@godwit/hub/trust/hub-keys'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Box, newHub, rootDocument, seedOf, signedRoot } from '../support/new-hub.ts'

// biome-ignore lint/suspicious/noExplicitAny: tampered lines have any shape
type Line = any

let box: Box
let root: Uint8Array
/** Entries that a new hub begins with; those of the tests are counted from there. */
let base: number
const append = (subject: string, action = 'test.do', on = box) => {
  const { audit, database } = on.hub.services
  return database.transaction((trx) =>
    audit.append(trx, { who: 'ana', action, subject, detail: { share: 0.1, '2': 'x', '1': 'y' } }),
  )
}
const checkpoint = (on = box) => on.hub.services.audit.checkpointIfDue(on.time.now + 1e9)

/** Five entries with checkpoints at 2 and 4; the export adds the one at 5. */
beforeEach(async () => {
  box = await newHub()
  base = (await box.hub.services.audit.before(undefined, 100)).length
  root = await box.hub.services.repository.firstRoot()
  for (const subject of ['a', 'b']) await append(subject)
  await checkpoint()
  for (const subject of ['c', 'd']) await append(subject)
  await checkpoint()
  await append('e')
})
afterEach(() => box.close())

async function exported(on = box): Promise<Line[]> {
  const lines: Line[] = []
  for await (const text of exportLines(on.hub.services)) lines.push(JSON.parse(text))
  return lines
}

function prove(lines: readonly Line[], pinned = root): ProofVerdict<AuditProof> {
  const reader = AuditReader.open(pinned)
  if (!reader.proved) return reader
  for (const line of lines) {
    const refused = reader.value.line(JSON.stringify(line))
    if (refused) return refused
  }
  return reader.value.finish()
}

const entryAt = (lines: Line[], id: number) => lines.findIndex(({ entry }) => entry?.id === base + id)
const checkpointAt = (lines: Line[], id: number) =>
  lines.findIndex(({ checkpoint: found }) => found?.signed.lastId === base + id)

/** What a forger does who knows the format: the end says what is there. */
function endFitting(lines: Line[]): Line[] {
  const count = (key: string) => lines.filter((line) => key in line).length
  const end = { entries: count('entry'), checkpoints: count('checkpoint') }
  return [...lines.filter((line) => !('end' in line)), { end }]
}

/** Numbers and hashes that fit each other again, from the first entry on. */
function rechained(lines: Line[]): Line[] {
  let last = { id: 0, hash: '0'.repeat(64) }
  return lines.map((line) => {
    if (!line.entry) return line
    const entry = { ...line.entry, id: last.id + 1, previousHash: last.hash }
    last = { id: entry.id, hash: hashOfEntry(entry) }
    return { entry: { ...entry, hash: last.hash } }
  })
}

test('an untouched export is proved to its last entry, which was signed for as it left', async () => {
  const provedUpTo = { id: base + 5, signedAt: box.time.now }
  expect(prove(await exported())).toMatchObject({
    proved: true,
    value: { fleet: 'test-fleet', entries: base + 5, checkpoints: 3, provedUpTo },
  })
})

describe('an export of an earlier day', () => {
  const proveSince = (lines: readonly Line[], earlier: AuditProof['provedUpTo']) => {
    const reader = AuditReader.open(root, earlier)
    if (!reader.proved) return reader
    for (const line of lines) {
      const refused = reader.value.line(JSON.stringify(line))
      if (refused) return refused
    }
    return reader.value.finish()
  }
  const proved = async () => {
    const verdict = prove(await exported())
    if (!verdict.proved) throw new Error(verdict.detail)
    return verdict.value.provedUpTo
  }

  test('is the beginning of every later one', async () => {
    const earlier = await proved()
    await append('f')
    expect(proveSince(await exported(), earlier)).toMatchObject({ proved: true })
  })

  test('shows that a hub with its own director key wrote its past anew', async () => {
    const earlier = await proved()
    const { db } = box.hub.services.database
    await db
      .deleteFrom('audit')
      .where('id', '>', base + 3)
      .execute()
    await db
      .deleteFrom('audit_checkpoint')
      .where('last_id', '>', base + 3)
      .execute()
    for (const subject of ['other d', 'other e', 'f']) await append(subject)
    const rewritten = await exported()
    expect(prove(rewritten)).toMatchObject({ proved: true })
    expect(proveSince(rewritten, earlier)).toMatchObject({ because: 'earlier_export_differs' })
  })

  test('shows that a later one ends too soon', async () => {
    const earlier = await proved()
    const lines = await exported()
    const cut = lines.slice(0, checkpointAt(lines, 4) + 1)
    expect(proveSince(endFitting(cut), earlier)).toMatchObject({ because: 'earlier_export_differs' })
  })
})

test('a root that the audit tells of takes over, through the old keys', async () => {
  const second = rootDocument(box.hubKeys, { version: 2 })
  await box.hub.services.repository.acceptRoot(signedRoot(second), 'ana')
  await checkpoint()
  expect(prove(await exported())).toMatchObject({ proved: true, value: { provedUpTo: { id: base + 6 } } })
})

describe('tampering with entries', () => {
  const cases: [string, string, (lines: Line[]) => Line[]][] = [
    [
      'entry_changed',
      'a changed detail',
      (l) => {
        l[entryAt(l, 2)].entry.detail = '{}'
        return l
      },
    ],
    [
      'entry_changed',
      'a changed name',
      (l) => {
        l[entryAt(l, 3)].entry.who = 'bob'
        return l
      },
    ],
    ['entry_missing', 'a removed entry', (l) => endFitting(l.toSpliced(entryAt(l, 3), 1))],
    [
      'entry_changed',
      'a removed entry, the rest renumbered',
      (l) => {
        const rest = l.toSpliced(entryAt(l, 3), 1)
        for (const { entry } of rest) if (entry?.id > base + 3) entry.id--
        return endFitting(rest)
      },
    ],
    [
      'entry_missing',
      'reordered entries',
      (l) => {
        const [at, next] = [entryAt(l, 3), entryAt(l, 4)]
        return l.with(at, l[next]).with(next, l[at])
      },
    ],
    [
      'chain_broken',
      'reordered entries, renumbered and hashed anew',
      (l) => {
        const [at, next] = [entryAt(l, 3), entryAt(l, 4)]
        const swapped = l
          .with(at, { entry: { ...l[next].entry, id: base + 3 } })
          .with(next, { entry: { ...l[at].entry, id: base + 4 } })
        for (const { entry } of swapped) if (entry) entry.hash = hashOfEntry(entry)
        return swapped
      },
    ],
    ['entry_out_of_order', 'an entry twice', (l) => l.toSpliced(entryAt(l, 3), 0, l[entryAt(l, 2)])],
    [
      'checkpoint_mismatch',
      'a changed entry and every hash made anew',
      (l) => {
        l[entryAt(l, 1)].entry.who = 'bob'
        return rechained(l)
      },
    ],
    [
      'checkpoint_mismatch',
      'an inserted entry and every hash made anew',
      (l) => endFitting(rechained(l.toSpliced(entryAt(l, 1), 0, l[entryAt(l, 1)]))),
    ],
    [
      'entry_missing',
      'a truncated tail with its checkpoint left',
      (l) => endFitting(l.filter(({ entry }) => !(entry?.id >= base + 4))),
    ],
    ['export_incomplete', 'lines cut off the end', (l) => l.slice(0, entryAt(l, 5))],
    [
      'export_incomplete',
      'the last entry gone, and the end not mended',
      (l) => l.toSpliced(entryAt(l, 5), 2),
    ],
    ['export_malformed', 'lines after the end', (l) => [...l, l.at(-1)]],
    [
      'export_malformed',
      'an entry with a field more',
      (l) => {
        l[entryAt(l, 2)].entry.note = 'x'
        return l
      },
    ],
  ]
  test.each(cases)('%s: %s', async (because, _, tamper) => {
    const lines = await exported()
    expect(prove(tamper(structuredClone(lines)))).toMatchObject({ proved: false, because })
  })

  test('checkpoint_missing: the last entry and its checkpoint taken off, and the end mended', async () => {
    const lines = await exported()
    const cut = endFitting(lines.slice(0, entryAt(lines, 5)))
    expect(prove(cut)).toMatchObject({ proved: true, value: { provedUpTo: { id: base + 4 } } })
    const behind = endFitting(lines.filter((_, i) => i !== checkpointAt(lines, 5)))
    expect(prove(behind)).toMatchObject({ because: 'checkpoint_missing' })
  })
})

describe('tampering with checkpoints', () => {
  const signedAt = (lines: Line[], id: number, change: object, seed: Uint8Array) => {
    const { hash } = lines[entryAt(lines, id)].entry
    const checkpoint = signedCheckpoint(
      { fleet: 'test-fleet', lastId: base + id, hash, at: 1, ...change },
      seed,
    )
    return lines.with(checkpointAt(lines, id), { checkpoint })
  }

  test('a forged one, by a key that root does not name', async () => {
    const forged = signedAt(await exported(), 4, {}, seedOf(66))
    expect(prove(forged)).toMatchObject({ because: 'checkpoint_untrusted' })
  })

  test("one signed by another of the hub's keys than the director's", async () => {
    const forged = signedAt(await exported(), 4, {}, box.hubKeys.timestamp)
    expect(prove(forged)).toMatchObject({ because: 'checkpoint_untrusted' })
  })

  test('one whose content was changed after signing', async () => {
    const lines = await exported()
    lines[checkpointAt(lines, 4)].checkpoint.signed.at++
    expect(prove(lines)).toMatchObject({ because: 'checkpoint_untrusted' })
  })

  test('one of another fleet', async () => {
    const other = await newHub()
    for (const subject of ['a', 'b']) await append(subject, 'test.do', other)
    await checkpoint(other)
    const lines = await exported()
    const theirs = await exported(other)
    await other.close()
    const swapped = lines.with(checkpointAt(lines, 2), theirs[checkpointAt(theirs, 2)])
    expect(prove(swapped)).toMatchObject({ because: 'checkpoint_untrusted' })
  })

  test('one of another fleet that has the same director', async () => {
    const foreign = signedAt(await exported(), 4, { fleet: 'other' }, box.hubKeys.director)
    expect(prove(foreign)).toMatchObject({ because: 'checkpoint_wrong_fleet' })
  })

  test('one moved to a later entry', async () => {
    const lines = await exported()
    const at = checkpointAt(lines, 2)
    const moved = lines.toSpliced(at, 1).toSpliced(entryAt(lines, 3), 0, lines[at])
    expect(prove(moved)).toMatchObject({ because: 'checkpoint_mismatch' })
  })

  test('all of them taken out: then nothing is proved', async () => {
    const bare = endFitting((await exported()).filter((line) => !line.checkpoint))
    expect(prove(bare)).toMatchObject({ because: 'checkpoint_missing' })
  })

  test('the last one taken out', async () => {
    for (let i = 0; i < 3; i++) await append(`${i}`)
    const lines = await exported()
    expect(prove(lines)).toMatchObject({ proved: true })
    expect(prove(endFitting(lines.toSpliced(checkpointAt(lines, 8), 1)))).toMatchObject({
      because: 'checkpoint_missing',
    })
  })
})

describe('tampering with roots', () => {
  test('an export under the root of an attacker', async () => {
    const keys = newHubKeys()
    const attacker = signedRoot(rootDocument(keys), seedOf(1))
    expect(prove(await exported(), attacker)).toMatchObject({ because: 'root_untrusted' })
  })

  test('a next root that the old keys did not sign', async () => {
    const lines = await exported()
    const stranger = keyOfSeed(seedOf(77))
    const second = rootDocument(newHubKeys(), { version: 2 })
    second.keys[keyIdOf(stranger)] = stranger
    second.roles['root'] = { keyids: [keyIdOf(stranger)], threshold: 1 }
    const forged = { root: new TextDecoder().decode(signedRoot(second, seedOf(77))) }
    expect(prove(lines.toSpliced(2, 0, forged))).toMatchObject({ because: 'root_untrusted' })
  })

  test('a director that a later root left out signs nothing any more', async () => {
    // Root 2, signed as it should be, names another director; the old key is in the wrong hands.
    const second = rootDocument({ ...box.hubKeys, director: seedOf(55) }, { version: 2 })
    await append('2', 'root.accept')
    await checkpoint()
    const lines = await exported()
    const withSecond = lines.toSpliced(2, 0, { root: new TextDecoder().decode(signedRoot(second)) })
    expect(prove(withSecond)).toMatchObject({ because: 'checkpoint_untrusted' })
    expect(prove(lines)).toMatchObject({ because: 'root_untrusted' })
  })
})
