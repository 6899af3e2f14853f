import { createReadStream, createWriteStream, existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream/promises'
import { toRfc3339 } from '@godwit/protocol/units'
import type { ChainEnd } from '../trust/audit-chain.ts'
import { type AuditProof, AuditReader, type ProofRefused } from '../trust/audit-proof.ts'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { cleaned } from './output.ts'
import { readGiven } from './verify.ts'

/** An earlier export is evidence against the hub itself, so it is not written over. */
export async function exportAudit(shell: Shell, { out }: { out: string }): Promise<void> {
  if (existsSync(out))
    throw new CliError('conflict', 'file_exists', `${out} exists already`, 'choose another name')
  const aside = `${out}.part-${process.pid}`
  try {
    const body = await shell.hub().stream('/api/v1/audit/export')
    await pipeline(body, createWriteStream(aside, { flags: 'wx' }))
    await rename(aside, out)
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
  shell.out.print({ file: out }, () => `${out}\nprove it: godwit audit verify ${out} --root 1.root.json`)
}

export async function verifyAudit(
  shell: Shell,
  file: string,
  options: { root: string; fleet?: string; since?: string },
): Promise<void> {
  const root = readGiven(options.root)
  const earlier = options.since === undefined ? undefined : await proofOf(options.since, root)
  const proof = await proofOf(file, root, earlier?.provedUpTo)
  if (options.fleet !== undefined && options.fleet !== proof.fleet)
    throw new CliError('verification', 'wrong_fleet', `expected fleet ${options.fleet}, found ${proof.fleet}`)
  shell.out.print({ proved: true, ...proof }, () => inWords(proof))
}

async function proofOf(file: string, root: Uint8Array, earlier?: ChainEnd): Promise<AuditProof> {
  const reader = AuditReader.open(root, earlier)
  if (!reader.proved) throw notProved(reader)
  if (!existsSync(file)) throw new CliError('notFound', 'file_missing', `there is no file ${file}`)
  let number = 0
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number++
    const refused = reader.value.line(line)
    if (refused) throw notProved(refused, `line ${number}: `)
  }
  const verdict = reader.value.finish()
  if (!verdict.proved) throw notProved(verdict)
  return verdict.value
}

function notProved({ because, detail }: ProofRefused, where = ''): CliError {
  return new CliError('verification', because, cleaned(`${where}${detail}`))
}

function inWords({ fleet, entries, checkpoints, provedUpTo }: AuditProof): string {
  const { id, hash, signedAt } = provedUpTo
  return [
    `the audit of fleet ${cleaned(fleet)} is whole: ${entries} entries, ${checkpoints} signed checkpoints`,
    `  proved  entries 1 to ${id}, signed ${toRfc3339(signedAt)}, hash ${hash}`,
  ].join('\n')
}
