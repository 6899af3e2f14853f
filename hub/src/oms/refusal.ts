/**
 * Why a model signature was not believed, in the order in which it is looked for. Stable: machines act on it. What a
 * signature says of a model's name, version and expiry is for the release document; this one binds files only.
 */
export type OmsRefusal =
  | 'bundle_malformed'
  | 'key_untrusted'
  | 'signature_invalid'
  | 'payload_type_unsupported'
  | 'statement_invalid'
  | 'file_missing'
  | 'digest_mismatch'
  | 'unsigned_file'
  | 'symlink_refused'
  | 'root_mismatch'

export type OmsRefused = { ok: false; because: OmsRefusal; detail: string }
export type OmsVerdict<T> = { ok: true; value: T } | OmsRefused

export function omsRefuse(because: OmsRefusal, detail: string): OmsRefused {
  return { ok: false, because, detail }
}

export function omsAccept<T>(value: T): OmsVerdict<T> {
  return { ok: true, value }
}
