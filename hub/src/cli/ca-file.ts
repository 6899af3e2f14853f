import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { CliError } from './exit.ts'

/** PEM of an authority. Checked here, since a hub's own certificate in its place would fail only later, and darkly. */
export function readCa(file: string): string {
  const hint = "on the hub's machine: godwit hub ca export --out FILE"
  let pem: string
  let isAuthority: boolean
  try {
    pem = readFileSync(file, 'utf8')
    isAuthority = new X509Certificate(pem).ca
  } catch (cause) {
    throw new CliError(
      'usage',
      'ca_unreadable',
      `${file} is no certificate in PEM: ${(cause as Error).message}`,
      hint,
    )
  }
  if (isAuthority) return pem
  throw new CliError('usage', 'ca_unreadable', `${file} holds a certificate, but none of an authority`, hint)
}
