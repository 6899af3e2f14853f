import { targetsBytesMax } from '@godwit/protocol/limits'
import { targetCustom, targetPathOf } from '@godwit/protocol/release/release'
import { checkFresh } from '@godwit/protocol/trust/checks'
import { isDelegated } from '@godwit/protocol/trust/delegation'
import { maxStalenessMsOf } from '@godwit/protocol/trust/held'
import { ed25519Only, openMetadata, type Targets, verifyThreshold } from '@godwit/protocol/trust/metadata'
import { accept, type Refused, refuse, type Verdict } from '@godwit/protocol/trust/refusal'
import type { ModelVersion } from '../registry/model.ts'
import { flawOfDelegations, type Signatory } from './delegations.ts'
import { teamOf } from './team.ts'

/**
 * Would a device take these targets, and can this hub serve all they name? The hub signs snapshots around them, so
 * it looks as hard as a client does: a mistake caught here is a request refused, there it is a fleet that stands still.
 *
 * @param expected the version that must come next
 */
export function checkOfferedTargets(
  bytes: Uint8Array,
  signatory: Signatory,
  expected: number,
  uploaded: readonly ModelVersion[],
  now: number,
): Verdict<Targets> {
  const { name } = signatory
  if (bytes.length > targetsBytesMax) {
    return refuse('length-exceeded', `${name}: ${bytes.length} bytes, at most ${targetsBytesMax}`)
  }
  const opened = openMetadata(bytes, 'targets', ed25519Only)
  if (!opened.trusted) return opened
  const targets = opened.value.signed
  const signed = verifyThreshold(opened.value, signatory.keys, signatory.role, ed25519Only)
  if (!signed.trusted) return refuse(signed.because, `${name}: ${signed.detail}`)
  const overreach = flawOfAuthority(targets, signatory)
  if (overreach) return overreach
  if (targets.version !== expected) {
    return refuse('version-mismatch', `${name}: expected version ${expected}, found ${targets.version}`)
  }
  return checkFresh(name, targets, now) ?? flawOfEntries(targets, name, uploaded) ?? accept(targets)
}

/** Does it say what this signatory may say, and was it signed as that? */
function flawOfAuthority(targets: Targets, { name, delegated }: Signatory): Refused | undefined {
  const signedAs = teamOf(targets) ?? 'targets'
  // A key may serve two teams: what it signed for one must not be handed in for the other.
  if (signedAs !== name) return refuse('unknown-role', `${name}: the document was signed for ${signedAs}`)
  if (!delegated) return flawOfDelegations(targets)
  if (targets.delegations?.roles?.length)
    return refuse('unknown-role', `${name}: a team cannot delegate further`)
  const outside = Object.keys(targets.targets).find((path) => !isDelegated(delegated, path))
  if (outside === undefined) return undefined
  const inside = delegated.paths?.join(', ')
  return refuse('unknown-role', `${name}: may list ${inside}, and lists ${outside}`)
}

function flawOfEntries(
  targets: Targets,
  name: string,
  uploaded: readonly ModelVersion[],
): Refused | undefined {
  const byPath = new Map(uploaded.map((version) => [targetPathOf(version.model, version.version), version]))
  for (const [path, file] of Object.entries(targets.targets)) {
    const custom = targetCustom.check(file.custom)
    if (!custom.ok) return refuse('malformed', `${name}: ${path}: ${custom.detail}`)
    const version = byPath.get(path)
    if (!version) return refuse('not-listed', `${name}: ${path}: no such version was uploaded to this hub`)
    if (Object.hasOwn(file.custom ?? {}, 'maxStalenessMs') && maxStalenessMsOf(file) === 0) {
      const said = JSON.stringify(file.custom?.['maxStalenessMs'])
      return refuse('malformed', `${name}: ${path}: maxStalenessMs is ${said}, expected milliseconds above 0`)
    }
    const { model, version: versionName, releaseCounter } = custom.value
    if (targetPathOf(model, versionName) !== path || releaseCounter !== version.releaseCounter) {
      const said = `${model} ${versionName}, releaseCounter ${releaseCounter}`
      return refuse(
        'malformed',
        `${name}: ${path}: custom says ${said}, the release ${version.releaseCounter}`,
      )
    }
    const digest = file.hashes['sha256']
    if (digest !== version.releaseDigest) {
      return refuse(
        'hash-mismatch',
        `${name}: ${path}: expected sha256 ${version.releaseDigest}, found ${digest}`,
      )
    }
    if (file.length !== version.releaseBytes) {
      return refuse(
        'length-mismatch',
        `${name}: ${path}: expected ${version.releaseBytes} bytes, found ${file.length}`,
      )
    }
  }
  return undefined
}
