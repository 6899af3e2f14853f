import { targetsBytesMax } from '@godwit/protocol/limits'
import { targetCustom, targetPathOf } from '@godwit/protocol/release/release'
import { checkFresh } from '@godwit/protocol/trust/checks'
import {
  ed25519Only,
  openMetadata,
  type Root,
  type Targets,
  verifyThreshold,
} from '@godwit/protocol/trust/metadata'
import { accept, type Refused, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import type { ModelVersion } from '../registry/model.ts'

/**
 * Would a device take these targets, and can this hub serve all they name? The hub signs snapshots around them, so
 * it looks as hard as a client does: a mistake caught here is a request refused, there it is a fleet that stands still.
 *
 * @param expected the version that must come next
 */
export function checkOfferedTargets(
  bytes: Uint8Array,
  root: Root,
  expected: number,
  uploaded: readonly ModelVersion[],
  now: number,
): Verdict<Targets> {
  if (bytes.length > targetsBytesMax) {
    return refuse('length-exceeded', `targets: ${bytes.length} bytes, at most ${targetsBytesMax}`)
  }
  const opened = openMetadata(bytes, 'targets', ed25519Only)
  if (!opened.trusted) return opened
  const targets = opened.value.signed
  const signed = verifyThreshold(opened.value, root.keys, root.roles['targets']!, ed25519Only)
  if (!signed.trusted) return refuse(signed.because, `targets: ${signed.detail}`)
  if (targets.version !== expected) {
    return refuse('version-mismatch', `targets: expected version ${expected}, found ${targets.version}`)
  }
  return checkFresh('targets', targets, now) ?? flawOfEntries(targets, uploaded) ?? accept(targets)
}

function flawOfEntries(targets: Targets, uploaded: readonly ModelVersion[]): Refused | undefined {
  if (targets.delegations?.roles?.length) {
    return refuse('unknown-role', 'targets: delegations are not served by this hub yet')
  }
  const byPath = new Map(uploaded.map((version) => [targetPathOf(version.model, version.version), version]))
  for (const [path, file] of Object.entries(targets.targets)) {
    const custom = targetCustom.check(file.custom)
    if (!custom.ok) return refuse('malformed', `targets: ${path}: ${custom.detail}`)
    const version = byPath.get(path)
    if (!version) return refuse('not-listed', `targets: ${path}: no such version was uploaded to this hub`)
    const { model, version: name, releaseCounter } = custom.value
    if (targetPathOf(model, name) !== path || releaseCounter !== version.releaseCounter) {
      const said = `${model} ${name}, releaseCounter ${releaseCounter}`
      return refuse(
        'malformed',
        `targets: ${path}: custom says ${said}, the release ${version.releaseCounter}`,
      )
    }
    const digest = file.hashes['sha256']
    if (digest !== version.releaseDigest) {
      return refuse(
        'hash-mismatch',
        `targets: ${path}: expected sha256 ${version.releaseDigest}, found ${digest}`,
      )
    }
    if (file.length !== version.releaseBytes) {
      return refuse(
        'length-mismatch',
        `targets: ${path}: expected ${version.releaseBytes} bytes, found ${file.length}`,
      )
    }
  }
  return undefined
}
