import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import { releaseBytesMax, timestampBytesMax } from '@godwit/protocol/limits'
import { sha256Hex } from '@godwit/protocol/release/blocks'
import { releaseLayout } from '@godwit/protocol/release/directory'
import {
  mistakesOf,
  type Release,
  release as releaseDocument,
  targetPathOf,
} from '@godwit/protocol/release/release'
import { checkFile } from '@godwit/protocol/trust/checks'
import { type Fetch, TrustClient } from '@godwit/protocol/trust/client'
import { ed25519Only, openMetadata } from '@godwit/protocol/trust/metadata'
import { type Carrier, runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'
import { parseStrict } from '@godwit/protocol/trust/strict-json'
import { type EpochMs, fromRfc3339 } from '@godwit/protocol/units'
import { readSmall } from '../medium/stick.ts'

export type FallbackRelease = { release: Release; releaseDigest: string; bytes: Buffer }

/**
 * The release in a directory that `godwit version download` wrote, if the fleet's publishers listed it. Judged as of the
 * moment that its timestamp was issued: a device may lie in a store for years, and what it came with does not spoil.
 *
 * @param pinnedRoot the root that this device was told to believe when it joined
 * @throws Fault `fallback-refused`, saying what is wrong
 */
export async function readFallback(directory: string, pinnedRoot: Uint8Array): Promise<FallbackRelease> {
  const opened = TrustClient.open(new Map([['root', pinnedRoot]]))
  if (!opened.trusted) throw refused(directory, opened.detail)
  const client = opened.value
  const metadata = join(directory, releaseLayout.metadata)
  const carrier: Carrier = {
    fetch: async ({ fileName, bytesMax }: Fetch) => readIfSmall(join(metadata, fileName), bytesMax),
    store: () => {},
    delete: () => {},
  }
  const refreshed = await runRefresh(client, issuedAt(directory, metadata), carrier)
  if (!refreshed.trusted) throw refused(directory, `metadata: ${refreshed.detail} (${refreshed.because})`)
  const path = join(directory, releaseLayout.release)
  const bytes = readIfSmall(path, releaseBytesMax)
  if (!bytes) throw refused(directory, `there is no ${releaseLayout.release}`)
  const parsed = parseStrict(bytes)
  const read = parsed.ok ? releaseDocument.check(parsed.value) : parsed
  if (!read.ok) throw refused(directory, `${releaseLayout.release}: ${read.detail}`)
  const mistakes = mistakesOf(read.value)
  if (mistakes.length > 0) throw refused(directory, `${releaseLayout.release}: ${mistakes.join('; ')}`)
  const { model, version } = read.value
  const found = await runFindTarget(client, targetPathOf(model, version), carrier)
  if (!found.trusted) throw refused(directory, `${found.detail} (${found.because})`)
  const altered = checkFile(`${model}/${version}`, bytes, found.value.file)
  if (altered) throw refused(directory, `${altered.detail} (${altered.because})`)
  return { release: read.value, releaseDigest: sha256Hex(bytes), bytes }
}

/** Unproved here: whoever could write another moment there can replace the whole directory, and the agent. */
function issuedAt(directory: string, metadata: string): EpochMs {
  const bytes = readIfSmall(join(metadata, 'timestamp.json'), timestampBytesMax)
  if (!bytes) throw refused(directory, 'there is no timestamp.json')
  const opened = openMetadata(bytes, 'timestamp', ed25519Only)
  if (!opened.trusted) throw refused(directory, `timestamp: ${opened.detail}`)
  const { godwit_issued: issued } = opened.value.signed
  if (issued === undefined) throw refused(directory, 'its timestamp does not say when it was issued')
  return fromRfc3339(issued)
}

function readIfSmall(path: string, bytesMax: number): Buffer | null {
  try {
    return readSmall(path, bytesMax)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function refused(directory: string, detail: string): Fault {
  return new Fault('fallback-refused', `${directory}: ${detail}`)
}
