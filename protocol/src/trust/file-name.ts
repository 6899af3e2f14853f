/**
 * The name that a role's metadata is fetched and kept under, without directories. Role names are chosen by
 * whoever may delegate, so everything but letters, digits and `_.-~` is percent-encoded: `../root` becomes
 * `..%2Froot.json`.
 *
 * @param version given where names carry it: every root, and all but timestamp in a consistent snapshot (TUF §6.2)
 */
export function fileNameOf(role: string, version?: number): string {
  return `${version === undefined ? '' : `${version}.`}${percentEncoded(role)}.json`
}

/** Where a target lies in a consistent snapshot: `dir/HASH.name` (TUF §6.2.1). Paths keep their slashes. */
export function targetFileNameOf(path: string, hash?: string): string {
  if (hash === undefined) return path
  const slash = path.lastIndexOf('/') + 1
  return `${path.slice(0, slash)}${hash}.${path.slice(slash)}`
}

/** encodeURIComponent leaves five more characters alone than RFC 3986 calls unreserved. */
function percentEncoded(name: string): string {
  const hex = (c: string) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(name).replace(/[!'()*]/g, hex)
}
