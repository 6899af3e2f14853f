import type { KeyObject } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { ecPrivateKey } from '../oms/ec-key.ts'
import { newEcKey } from '../oms/new-key.ts'
import { insideOf, signBundle } from '../oms/sign.ts'
import { verifyOmsBundle } from '../oms/verify.ts'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { passphraseFrom } from './keys.ts'
import { cleaned } from './output.ts'
import { readGiven } from './verify.ts'
import { versionOf } from './version-name.ts'

export type OmsSignOptions = { key: string; out?: string; ignore?: string[]; passphraseFile?: string }
export type OmsVerifyOptions = {
  key: string[]
  signature: string
  ignore?: string[]
  ignoreUnsignedFiles?: boolean
}

export async function makeKey(
  shell: Shell,
  options: { out: string; passphraseFile?: string },
): Promise<void> {
  const { out } = options
  const publicPath = `${out.replace(/\.pem$/, '')}.pub.pem`
  for (const path of [out, publicPath]) {
    if (existsSync(path))
      throw new CliError('conflict', 'key_exists', `${path} exists already`, 'keys are never overwritten')
  }
  const ask = { purpose: `the signing key ${out}`, twice: true, tty: shell.tty }
  const { privatePem, publicPem } = newEcKey(await passphraseFrom(options, shell.environment, ask))
  writeFileSync(out, privatePem, { mode: 0o600, flag: 'wx' })
  writeFileSync(publicPath, publicPem, { flag: 'wx' })
  shell.out.print({ private: out, public: publicPath }, () => `${out} (encrypted)\n${publicPath}`)
}

/** Asks for the passphrase only where the file needs one. */
export async function openKey(
  shell: Shell,
  path: string,
  options: { passphraseFile?: string },
): Promise<KeyObject> {
  const pem = Buffer.from(readGiven(path)).toString('utf8')
  const ask = { purpose: path, tty: shell.tty }
  return ecPrivateKey(
    pem,
    pem.includes('ENCRYPTED') ? await passphraseFrom(options, shell.environment, ask) : undefined,
  )
}

export async function sign(shell: Shell, model: string, options: OmsSignOptions): Promise<void> {
  const signaturePath = options.out ?? `${resolve(model)}.sig`
  const signed = await signBundle(model, await openKey(shell, options.key, options), {
    signaturePath,
    ...(options.ignore && { ignore: options.ignore }),
  })
  writeFileSync(signaturePath, signed.bytes)
  const { hint, root, files } = signed
  shell.out.print(
    { signature: signaturePath, hint, root, files },
    () => `${signaturePath}: ${files} files, root ${root}, key ${hint}`,
  )
}

export async function verify(shell: Shell, model: string, options: OmsVerifyOptions): Promise<void> {
  const { hint, root, files } = await proved(model, options)
  shell.out.print(
    { verified: true, hint, root, files },
    () => `${model} is as it was signed: ${files.length} files, root ${root}, key ${hint}`,
  )
}

/** @throws CliError with exit 6 and the refusal's own code when the directory is not what one of the keys signed */
export async function proved(model: string, options: OmsVerifyOptions) {
  const keys = options.key.map((path) => Buffer.from(readGiven(path)).toString('utf8'))
  const verdict = await verifyOmsBundle(model, readGiven(options.signature), keys, {
    ignore: [...(options.ignore ?? []), ...insideOf(model, options.signature)],
    ignoreUnsignedFiles: options.ignoreUnsignedFiles === true,
  })
  if (!verdict.ok) throw new CliError('verification', verdict.because, cleaned(verdict.detail))
  return verdict.value
}

/** For a signature made elsewhere, or after the release: another signer of k-of-n, a key in an HSM. */
export async function attach(shell: Shell, what: string, options: { signature: string }): Promise<void> {
  const { model, version } = versionOf(what)
  const path = `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}/signatures`
  const bytes = readGiven(options.signature)
  const kept = await shell
    .hub()
    .sendBytes<{ hint: string; root: string; sha256: string }>('POST', path, bytes, 'application/json')
  shell.out.print(kept, () => `${model} ${version} carries a signature by key ${kept.hint}`)
}
