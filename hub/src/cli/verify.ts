import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { releaseLayout as layout } from '@godwit/protocol/release/directory'
import { fromRfc3339 } from '@godwit/protocol/units'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { cleaned } from './output.ts'
import { type VerifiedRelease, verifyReleaseDirectory } from './release-directory.ts'
import { versionOf } from './version-name.ts'

export type VerifyOptions = { root: string; metadata?: string; at?: string; expect?: string }

export async function verify(shell: Shell, directory: string, options: VerifyOptions): Promise<void> {
  const now = momentOf(options.at) ?? shell.now()
  const root = readGiven(options.root)
  const verdict = await verifyReleaseDirectory(
    directory,
    root,
    options.metadata ?? join(directory, layout.metadata),
    now,
  )
  if (!verdict.verified) {
    const hint =
      verdict.because === 'expired'
        ? 'download it again, or judge it as of a day: --at 2026-01-31T00:00:00Z'
        : undefined
    throw new CliError('verification', verdict.because.replaceAll('-', '_'), cleaned(verdict.detail), hint)
  }
  const { model, version } = verdict
  const wanted = options.expect === undefined ? undefined : versionOf(options.expect)
  if (wanted && (wanted.model !== model || wanted.version !== version)) {
    const found = `expected ${options.expect}, found ${model}@${version}`
    throw new CliError('verification', 'another_release', found)
  }
  shell.out.print(verdict, () => inWords(verdict))
}

function inWords(verdict: VerifiedRelease): string {
  const { signedBy, threshold, role } = verdict
  return [
    `${verdict.model} ${verdict.version} is a release of this fleet's publishers`,
    `  release   ${verdict.releaseDigest}, counter ${verdict.releaseCounter}`,
    `  files     ${verdict.files}, ${verdict.sizeBytes} bytes, every block as released`,
    `  listed    by ${cleaned(role)} ${verdict.targetsVersion}, under root ${verdict.rootVersion}`,
    `  signed    by ${signedBy.length} key(s), ${threshold} needed`,
    ...signedBy.map((keyid) => `            ${keyid}`),
  ].join('\n')
}

function momentOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const at = fromRfc3339(text)
  if (!Number.isNaN(at)) return at
  throw new CliError('usage', 'bad_time', `--at ${text} is no time such as 2026-01-31T00:00:00Z`)
}

export function readGiven(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new CliError('notFound', 'file_missing', `cannot read ${path}: ${(cause as Error).message}`)
  }
}
