/**
 * A release in a directory of its own, with all that vouches for it: what `godwit version download` writes, `godwit verify`
 * proves, and a device may carry from the factory as its fallback.
 */
export const releaseLayout = {
  release: 'release.json',
  files: 'files',
  metadata: 'metadata',
  /** OpenSSF model signatures over `files`, each named after its key. */
  signatures: 'signatures',
} as const
