import { targetCustom, targetPathOf } from '@godwit/protocol/release/release'
import type { FoundTarget } from '@godwit/protocol/trust/client'
import { accept, refuse, type Verdict } from '@godwit/protocol/trust/refusal'

/** A release by its name, and which bytes somebody says that it is. */
export type NamedRelease = { model: string; version: string; releaseDigest: string; releaseBytes: number }

/** Are those the bytes that the publishers list under this name? */
export function checkListed({ file }: FoundTarget, release: NamedRelease): Verdict<unknown> {
  const { model, version, releaseDigest, releaseBytes } = release
  const path = targetPathOf(model, version)
  const { hashes, length, custom } = file
  if (hashes['sha256'] !== releaseDigest || length !== releaseBytes)
    return refuse(
      'hash-mismatch',
      `${path}: targets list ${hashes['sha256']} (${length} bytes), the directive names ${releaseDigest} (${releaseBytes} bytes)`,
    )
  const record = targetCustom.check(custom)
  if (!record.ok) return refuse('malformed', `${path}: ${record.detail}`)
  if (record.value.model !== model || record.value.version !== version)
    return refuse(
      'malformed',
      `${path}: the target calls itself ${record.value.model} ${record.value.version}`,
    )
  return accept(record.value)
}
