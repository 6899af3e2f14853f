import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Profile, readProfile } from '@godwit/protocol/drift/profile'
import { type Golden, golden } from '@godwit/protocol/release/golden'
import { type Pipeline, pipeline } from '@godwit/protocol/release/pipeline'
import type { Read } from '@godwit/protocol/schema'
import type { ToRunner } from './messages.ts'
import { type Outcome, refuse } from './outcome.ts'

export type Parts = {
  golden: Golden
  pipeline: Pipeline
  profile: Profile | undefined
  /** Of the features graph, where the pipeline has one. */
  featureGolden: Golden | undefined
}

/** The bundle's documents. Control has verified their bytes; whether they make sense is seen here. */
export async function readParts(load: Extract<ToRunner, { type: 'load' }>): Promise<Outcome<Parts>> {
  const vectors = await readDocument(load.directory, load.golden, (value) => golden.check(value))
  if (!vectors.ok) return vectors
  const line = await readDocument(load.directory, load.pipeline, (value) => pipeline.check(value))
  if (!line.ok) return line
  const { features } = line.value
  const graph =
    features && (await readDocument(load.directory, features.golden, (value) => golden.check(value)))
  if (graph && !graph.ok) return graph
  const parts = {
    golden: vectors.value,
    pipeline: line.value,
    profile: undefined,
    featureGolden: graph?.value,
  }
  if (load.profile === undefined) return { ok: true, value: parts }
  const profile = await readDocument(load.directory, load.profile, readProfile)
  return profile.ok ? { ok: true, value: { ...parts, profile: profile.value } } : profile
}

async function readDocument<T>(
  folder: string,
  path: string,
  check: (value: unknown) => Read<T>,
): Promise<Outcome<T>> {
  try {
    const read = check(JSON.parse(await readFile(join(folder, path), 'utf8')))
    return read.ok ? read : refuse('malformed', `${path}: ${read.detail}`)
  } catch (error) {
    return refuse('malformed', `${path}: ${(error as Error).message}`)
  }
}
