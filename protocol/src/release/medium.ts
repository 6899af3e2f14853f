import { parseStrict } from '../trust/strict-json.ts'

/**
 * What a stick looks like that carries releases to a device without a link (SPEC 4.8). A directory that a web server
 * serves as it is would be a mirror.
 */
export const mediumLayout = {
  /** Trust metadata under its usual file names. */
  metadata: 'metadata',
  /** Signed directives, `{device}.json`. */
  directives: 'directives',
  /** Release documents and bundle files, each under its SHA-256. */
  blobs: 'blobs/sha256',
  /** Says what this directory is. Nobody believes it: it is there for people and for a first look. */
  index: 'godwit-medium.json',
} as const

export const mediumFormat = 'godwit-medium/1'

/** Directories of a stick, and what the names in them look like. Anything else does not belong there. */
export const mediumNames: Readonly<Record<string, RegExp>> = {
  '': /^(?:godwit-medium\.json|metadata|directives|blobs)$/,
  metadata: /^(?:[1-9][0-9]{0,8}\.)?[A-Za-z0-9_%-]{1,200}\.json$/,
  directives: /^[A-Za-z0-9_-]{1,64}\.json$/,
  blobs: /^sha256$/,
  'blobs/sha256': /^[0-9a-f]{64}$/,
}

/** Directories among those names. */
export const mediumDirectories: ReadonlySet<string> = new Set([
  'metadata',
  'directives',
  'blobs',
  'blobs/sha256',
])

export const mediumIndexBytesMax = 65_536

/** Release documents that the index points to: hints, each to be proved by the metadata. Empty when it cannot be read. */
export function releasesIn(index: Uint8Array): { model: string; version: string; releaseDigest: string }[] {
  const parsed = parseStrict(index)
  const { format, releases } = (parsed.ok ? parsed.value : {}) as { format?: unknown; releases?: unknown }
  if (format !== mediumFormat || !Array.isArray(releases)) return []
  return releases.slice(0, 256).flatMap((one: unknown) => {
    const { model, version, releaseDigest } = (one ?? {}) as Record<string, unknown>
    const isText = [model, version, releaseDigest].every((value) => typeof value === 'string')
    return isText
      ? [{ model: model as string, version: version as string, releaseDigest: releaseDigest as string }]
      : []
  })
}
