export type Model = { name: string; description: string; createdAt: number }

/** Without the release document, which may be large. */
export type ModelVersion = {
  model: string
  version: string
  releaseDigest: string
  releaseCounter: number
  releaseBytes: number
  createdAt: number
  createdBy: string
  /** When the signed targets first listed it; absent: uploaded, not yet released. */
  listedAt?: number
  /** When they stopped listing it; absent while they do. */
  delistedAt?: number
}

/** May it be installed now? Only what the publishers have signed for, and still sign for. */
export function isListed(version: ModelVersion): boolean {
  return version.listedAt !== undefined && version.delistedAt === undefined
}
