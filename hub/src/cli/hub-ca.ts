import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Authority } from '../tls/authority.ts'
import { readAuthority, tlsPathsIn } from '../tls/hub-certificates.ts'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { readConfig } from './hub-run.ts'

export type CaOptions = { config?: string; state: string; out?: string }

export async function showCa(shell: Shell, options: CaOptions): Promise<void> {
  const { certificate, sha256, validTo } = await authorityIn(shell, options)
  const { subject } = new X509Certificate(certificate)
  const shown = { subject, sha256, validTo: new Date(validTo).toISOString() }
  shell.out.print(shown, () => `${subject}\nSHA-256   ${sha256}\nholds to  ${shown.validTo}`)
}

export async function exportCa(shell: Shell, options: CaOptions): Promise<void> {
  const { certificate, sha256 } = await authorityIn(shell, options)
  if (options.out === undefined) {
    shell.out.print({ certificate, sha256 }, () => certificate.trimEnd())
    return
  }
  writeFileSync(options.out, certificate)
  shell.out.print({ out: options.out, sha256 }, () => `written to ${options.out}`)
}

async function authorityIn(shell: Shell, { config, state }: CaOptions): Promise<Authority> {
  const stateDir = config === undefined ? resolve(state) : readConfig(config, shell.environment).stateDir
  const paths = tlsPathsIn(stateDir)
  const authority = await readAuthority(paths)
  if (authority) return authority
  const hint = 'the hub makes it at its first start with `tls.mode: hub`'
  throw new CliError('notFound', 'no_authority', `${paths.authority} is not there`, hint)
}
