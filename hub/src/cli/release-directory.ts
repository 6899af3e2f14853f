import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { releaseBytesMax } from '@godwit/protocol/limits'
import { blockRange, sha256Hex } from '@godwit/protocol/release/blocks'
import { releaseLayout as layout } from '@godwit/protocol/release/directory'
import {
  type BundleFile,
  mistakesOf,
  type Release,
  release,
  targetCustom,
  targetPathOf,
} from '@godwit/protocol/release/release'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { checkFile } from '@godwit/protocol/trust/checks'
import { TrustClient } from '@godwit/protocol/trust/client'
import { openEnvelope, type RoleKeys, verifyThreshold } from '@godwit/protocol/trust/envelope'
import { ed25519Only, type Key } from '@godwit/protocol/trust/key'
import { type Carrier, runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'
import type { Refusal } from '@godwit/protocol/trust/refusal'
import { listModel } from '../oms/model-files.ts'

export type ReleaseRefusal = Refusal | 'file-missing' | 'unsigned-file' | 'symlink-refused'
export type ReleaseRefused = { verified: false; because: ReleaseRefusal; detail: string }
export type VerifiedRelease = {
  verified: true
  model: string
  version: string
  releaseDigest: string
  releaseCounter: number
  /** The role that lists it: `targets`, or the team that it is delegated to. */
  role: string
  /** Keys of that role with a valid signature over the list. */
  signedBy: string[]
  threshold: number
  rootVersion: number
  targetsVersion: number
  files: number
  sizeBytes: number
}

const refuse = (because: ReleaseRefusal, detail: string): ReleaseRefused => ({
  verified: false,
  because,
  detail,
})

/**
 * Is the release in this directory one that the fleet's publishers list, and are these its very files? Asks nobody:
 * the same client that a device runs, over a directory.
 *
 * @param rootBytes the root document that the caller trusts
 * @param now epoch milliseconds that expiry is judged by
 */
export async function verifyReleaseDirectory(
  directory: string,
  rootBytes: Uint8Array,
  metadata: string,
  now: number,
): Promise<VerifiedRelease | ReleaseRefused> {
  const client = TrustClient.open(new Map([['root', rootBytes]]))
  if (!client.trusted) return refuse(client.because, client.detail)
  const documents = new Map<string, Uint8Array>()
  const carrier = directoryCarrier(metadata, documents)
  const current = await runRefresh(client.value, now, carrier)
  if (!current.trusted) return refuse(current.because, current.detail)

  const bytes = await readAtMost(join(directory, layout.release), releaseBytesMax + 1)
  if (!bytes) return refuse('file-missing', `${directory} holds no ${layout.release}`)
  const read = readRelease(bytes)
  if (!read.ok) return refuse('malformed', read.detail)
  const { model, version, releaseCounter, files } = read.value
  const found = await runFindTarget(client.value, targetPathOf(model, version), carrier)
  if (!found.trusted) return refuse(found.because, found.detail)
  const { role, file } = found.value
  const altered = checkFile(`${model}/${version}`, bytes, file)
  if (altered) return refuse(altered.because, altered.detail)
  const custom = targetCustom.check(file.custom)
  if (!custom.ok || custom.value.releaseCounter !== releaseCounter)
    return refuse('malformed', `${model}/${version}: the list and the release differ in their counter`)
  const flaw = await flawOfFiles(join(directory, layout.files), files)
  if (flaw) return flaw

  const { root, targets } = current.value
  const authority = authorityOf(role, { keys: root.keys, role: root.roles['targets']! }, targets.delegations)
  return {
    ...{ verified: true, model, version, releaseDigest: sha256Hex(bytes), releaseCounter, role },
    signedBy: signersOf(documents.get(role)!, authority),
    threshold: authority.role.threshold,
    rootVersion: root.version,
    targetsVersion: targets.version,
    files: Object.keys(files).length,
    sizeBytes: Object.values(files).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  }
}

/** File names are made by the client, percent-encoded, so none leads out of the directory. */
function directoryCarrier(metadata: string, documents: Map<string, Uint8Array>): Carrier {
  return {
    // One byte more than allowed is enough for the client to refuse a file without end.
    fetch: async ({ fileName, bytesMax }) =>
      (await readAtMost(join(metadata, fileName), bytesMax + 1)) ?? null,
    store: ({ role, bytes }) => void documents.set(role, bytes),
    delete: ({ role }) => void documents.delete(role),
  }
}

async function readAtMost(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    if ((await stat(path)).size <= bytesMax) return await readFile(path)
    const file = await open(path)
    try {
      const { buffer } = await file.read(Buffer.alloc(bytesMax), 0, bytesMax, 0)
      return buffer
    } finally {
      await file.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function readRelease(bytes: Uint8Array): { ok: true; value: Release } | { ok: false; detail: string } {
  if (bytes.length > releaseBytesMax) {
    return { ok: false, detail: `${layout.release}: more than ${releaseBytesMax} bytes` }
  }
  const parsed = parseStrict(bytes)
  if (!parsed.ok) return { ok: false, detail: `${layout.release}: ${parsed.detail}` }
  const read = release.check(parsed.value)
  if (!read.ok) return read
  const mistakes = mistakesOf(read.value)
  return mistakes.length > 0 ? { ok: false, detail: mistakes.join('; ') } : read
}

async function flawOfFiles(
  directory: string,
  promised: Release['files'],
): Promise<ReleaseRefused | undefined> {
  const { files, links, strange } = await listModel(directory, [])
  if (links.length > 0) return refuse('symlink-refused', `${links[0]} is a symbolic link`)
  const unsigned = [...files.keys(), ...strange].find((path) => !Object.hasOwn(promised, path))
  if (unsigned !== undefined)
    return refuse('unsigned-file', `${JSON.stringify(unsigned)} is no file of this release`)
  for (const [path, file] of Object.entries(promised)) {
    const at = files.get(path)
    if (at === undefined) return refuse('file-missing', `${path} is a file of this release and is not there`)
    const flaw = await flawOfFile(path, at, file)
    if (flaw) return flaw
  }
  return undefined
}

/** Block by block as a device does, so that damage has a place. Never through a link. */
async function flawOfFile(
  path: string,
  at: string,
  expected: BundleFile,
): Promise<ReleaseRefused | undefined> {
  const file = await open(at, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { size } = await file.stat()
    if (size !== expected.sizeBytes)
      return refuse('length-mismatch', `${path}: expected ${expected.sizeBytes} bytes, found ${size}`)
    const whole = createHash('sha256')
    const buffer = Buffer.alloc(expected.blockBytes)
    for (const [index, digest] of expected.blocks.entries()) {
      const { offset, length } = blockRange(expected, index)
      const block = buffer.subarray(0, length)
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await file.read(block, filled, length - filled, offset + filled)
        if (bytesRead === 0) return refuse('length-mismatch', `${path}: became shorter while it was read`)
        filled += bytesRead
      }
      if (sha256Hex(block) !== digest)
        return refuse('hash-mismatch', `${path}: block ${index} is another one`)
      whole.update(block)
    }
    const found = whole.digest('hex')
    if (found === expected.sha256) return undefined
    return refuse('hash-mismatch', `${path}: expected sha256 ${expected.sha256}, found ${found}`)
  } finally {
    await file.close()
  }
}

type Authority = { keys: Record<string, Key>; role: RoleKeys }

/** The top-level role, or a team that it delegates to: the client has walked the same way. */
function authorityOf(
  role: string,
  top: Authority,
  delegations: { keys: Record<string, Key>; roles?: ({ name: string } & RoleKeys)[] } | undefined,
): Authority {
  const delegated = delegations?.roles?.find(({ name }) => name === role)
  return delegations && delegated ? { keys: delegations.keys, role: delegated } : top
}

function signersOf(bytes: Uint8Array, { keys, role }: Authority): string[] {
  const envelope = openEnvelope(bytes, 'targets')
  if (!envelope.trusted) return []
  return role.keyids.filter(
    (keyid) => verifyThreshold(envelope.value, keys, { keyids: [keyid], threshold: 1 }, ed25519Only).trusted,
  )
}
