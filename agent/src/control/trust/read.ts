import { type Directive, directive as directiveDocument } from '@godwit/protocol/messages/directive'
import { parseStrict } from '@godwit/protocol/trust/canonical'

/*
 * Looks into documents whose signatures others have checked, or will. They may come from a damaged disk.
 */

/** 0 where there is none. */
export function versionIn(bytes: Uint8Array): number {
  const signed = signedIn(bytes) as { version?: unknown } | null | undefined
  return typeof signed?.version === 'number' ? signed.version : 0
}

/** A timestamp for a stick: it lives long, so it is worth nothing on the wire (SPEC 3.10). */
export function isForMedium(timestamp: Uint8Array): boolean {
  const signed = signedIn(timestamp) as { godwit_medium?: unknown } | null | undefined
  return signed?.godwit_medium !== undefined
}

export function readDirective(bytes: Uint8Array): Directive | undefined {
  const read = directiveDocument.check(signedIn(bytes))
  return read.ok ? read.value : undefined
}

/** What is wrong with a directive that cannot be read. */
export function flawOfDirective(bytes: Uint8Array): string {
  const parsed = parseStrict(bytes)
  if (!parsed.ok) return parsed.detail
  const read = directiveDocument.check(signedIn(bytes))
  return read.ok ? '' : read.detail
}

/** Undefined where there is none. */
function signedIn(bytes: Uint8Array): unknown {
  const parsed = parseStrict(bytes)
  return parsed.ok ? (parsed.value as { signed?: unknown } | null)?.signed : undefined
}
