import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open, readdir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import { byCodePoint } from './resource-name.ts'

/** Left out of every manifest by the specification; at the top of the model only. */
export const defaultIgnored: readonly string[] = ['.git', '.gitattributes', '.github', '.gitignore']

export type ModelFiles = {
  /** The model's own name: informational. */
  name: string
  /** By resource name, in code point order, with where they lie. */
  files: Map<string, string>
  /** Symbolic links, never followed. */
  links: string[]
  /** Names that are no UTF-8, sockets, devices, pipes: in no manifest. */
  strange: string[]
}

/**
 * Everything below a model directory, or the one file that a model is.
 *
 * @param ignored exact paths from the model's top, a directory standing for all below it; no patterns
 */
export async function listModel(path: string, ignored: readonly string[]): Promise<ModelFiles> {
  const top = resolve(path)
  const found: ModelFiles = { name: basename(top), files: new Map(), links: [], strange: [] }
  const status = await lstat(top).catch((cause: Error) => {
    throw new Fault('model-missing', `cannot read ${path}: ${cause.message}`, { cause })
  })
  if (status.isFile()) {
    found.files.set(found.name, top)
    return found
  }
  // A link to the model is the caller's word for it; a link within the model is somebody else's.
  if (!(await stat(top)).isDirectory())
    throw new Fault('model-missing', `${path} is no directory and no file`)
  const skipped = new Set(ignored.map((one) => one.replace(/\/+$/, '')))
  await walk(top, '', skipped, found)
  found.files = new Map([...found.files].sort(([a], [b]) => byCodePoint(a, b)))
  return found
}

async function walk(top: string, prefix: string, skipped: Set<string>, found: ModelFiles): Promise<void> {
  // As bytes: a name that is no UTF-8 would otherwise read like another one.
  const entries = await readdir(join(top, prefix), { withFileTypes: true, encoding: 'buffer' })
  for (const entry of entries) {
    const raw = entry.name as unknown as Buffer
    const part = raw.toString('utf8')
    const name = prefix === '' ? part : `${prefix}/${part}`
    if (skipped.has(name)) continue
    if (!Buffer.from(part, 'utf8').equals(raw) || part.includes('\\')) found.strange.push(name)
    else if (entry.isSymbolicLink()) found.links.push(name)
    else if (entry.isDirectory()) await walk(top, name, skipped, found)
    else if (entry.isFile()) found.files.set(name, join(top, name))
    else found.strange.push(name)
  }
}

/** Streams the file; refuses to follow a link that has taken its place since it was listed. */
export async function digestOf(path: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm === 'blake2b' ? 'blake2b512' : algorithm)
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 1 << 20 }))
      hash.update(chunk as Buffer)
    return hash.digest('hex')
  } finally {
    await file.close()
  }
}
