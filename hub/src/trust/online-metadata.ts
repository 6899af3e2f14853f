import { sha256Hex } from '@godwit/protocol/release/blocks'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import { type Snapshot, specVersion, type Timestamp } from '@godwit/protocol/trust/metadata'
import { type EpochMs, toRfc3339 } from '@godwit/protocol/units'

export type Life = { now: number; expiresMs: number }

type Described = { version: number; bytes: Uint8Array }

/** Names the current version of targets and of every team's document, with length and digest. */
export function signedSnapshot(
  version: number,
  { targets, teams }: { targets: Described; teams: readonly (Described & { role: string })[] },
  life: Life,
  seed: Uint8Array,
): Uint8Array {
  const ofTeams = teams.map((document) => [`${document.role}.json`, describe(document)])
  const snapshot: Snapshot = {
    _type: 'snapshot',
    spec_version: specVersion,
    version,
    expires: expiryOf(life),
    meta: { ...Object.fromEntries(ofTeams), 'targets.json': describe(targets) },
  }
  return encodeEnvelope(signDocument(snapshot, seed, keyOfSeed(seed)))
}

/** The one document that is fetched without knowing its version: short-lived, so that nobody can freeze a fleet long. */
export function signedTimestamp(
  version: number,
  snapshot: Described,
  life: Life,
  seed: Uint8Array,
  { medium = false } = {},
): Uint8Array {
  const timestamp: Timestamp = {
    _type: 'timestamp',
    spec_version: specVersion,
    version,
    expires: expiryOf(life),
    meta: { 'snapshot.json': describe(snapshot) },
    godwit_issued: wholeSeconds(life.now),
    ...(medium && { godwit_medium: true }),
  }
  return encodeEnvelope(signDocument(timestamp, seed, keyOfSeed(seed)))
}

function describe({ version, bytes }: Described) {
  return { version, length: bytes.length, hashes: { sha256: sha256Hex(bytes) } }
}

function expiryOf({ now, expiresMs }: Life): string {
  return wholeSeconds(now + expiresMs)
}

/** TUF's dates have whole seconds, and some clients insist on it. */
function wholeSeconds(at: EpochMs): string {
  return toRfc3339(Math.floor(at / 1_000) * 1_000).replace('.000Z', 'Z')
}
