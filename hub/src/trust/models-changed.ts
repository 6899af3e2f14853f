import { canonicalText } from '@godwit/protocol/trust/canonical'
import { ed25519Only, openMetadata, own, type Targets } from '@godwit/protocol/trust/metadata'

/**
 * The models about which two versions of a list differ, so that a caller who may publish some can be held to those. A
 * change of anything else than entries, such as delegations, is about every model: `*` stands for that, and no pattern
 * but the one without bounds fits it. What cannot be read changes nothing here; the checks that follow refuse it.
 */
export function modelsChanged(held: Uint8Array | undefined, offered: Uint8Array): Set<string> {
  const next = open(offered)
  if (!next) return new Set()
  const before = held === undefined ? undefined : open(held)
  const models = new Set<string>()
  const [old, now] = [before?.targets ?? {}, next.targets]
  for (const path of new Set([...Object.keys(old), ...Object.keys(now)])) {
    if (text(own(old, path)) !== text(own(now, path))) models.add(path.split('/')[0]!)
  }
  if (text(before?.delegations) !== text(next.delegations)) models.add('*')
  return models
}

function open(bytes: Uint8Array): Targets | undefined {
  const opened = openMetadata(bytes, 'targets', ed25519Only)
  return opened.trusted ? opened.value.signed : undefined
}

function text(value: unknown): string {
  return value === undefined ? '' : canonicalText(value)
}
