import { canonicalBytes } from '@godwit/protocol/trust/canonical'
import { sign, verify } from '@godwit/protocol/trust/ed25519'
import { fromHex, toHex } from '@godwit/protocol/trust/encoding'
import { encodeEnvelope, type Signature } from '@godwit/protocol/trust/envelope'
import type { Key } from '@godwit/protocol/trust/key'
import type { Root, Targets } from '@godwit/protocol/trust/metadata'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { type OpenedKey, passphraseFrom, unlockKey } from './keys.ts'
import { refuseTwice } from './public-keys.ts'
import { commandSigner } from './signer-command.ts'

/** Whatever holds a private key: a file that was unlocked, or a program that asks an HSM. */
export type Signer = { key: Key; keyid: string; sign(message: Uint8Array): Promise<Uint8Array> }

export type SignerOptions = { key?: string[]; signerCmd?: string[]; passphraseFile?: string }

export function isSignerGiven({ key = [], signerCmd = [] }: SignerOptions): boolean {
  return key.length + signerCmd.length > 0
}

/** Every `--key` and every `--signer-cmd`; all key files open with one passphrase. */
export async function openSigners(shell: Shell, options: SignerOptions): Promise<Signer[]> {
  const { key: files = [], signerCmd: commands = [] } = options
  if (!isSignerGiven(options))
    throw new CliError('usage', 'key_missing', 'nothing to sign with', '--key FILE, or --signer-cmd CMD')
  const signers: Signer[] = []
  if (files.length > 0) {
    const passphrase = await passphraseFrom(options, shell.environment, {
      purpose: files.length === 1 ? files[0]! : 'the publisher keys',
      tty: shell.tty,
    })
    for (const path of files) signers.push(fileSigner(await unlockKey(path, passphrase)))
  }
  for (const command of commands) signers.push(await commandSigner(shell, command))
  refuseTwice(signers.map(({ key }) => key))
  return signers
}

export function fileSigner({ seed, key, keyid }: OpenedKey): Signer {
  return { key, keyid, sign: async (message) => sign(seed, message) }
}

/** Checked before anybody uses it: a signer that signs something else is found out here, not by the fleet. */
export async function signatureBy(signer: Signer, document: Root | Targets): Promise<Signature> {
  const message = canonicalBytes(document)
  const signature = await signer.sign(message)
  if (verify(fromHex(signer.key.keyval.public)!, message, signature))
    return { keyid: signer.keyid, sig: toHex(signature) }
  throw new CliError(
    'verification',
    'signature_invalid',
    `expected a signature by key ${signer.keyid} over this document, found one that does not verify`,
  )
}

/** Signed by every signer given, as bytes ready to be stored or sent. */
export async function signedBytes(document: Root | Targets, signers: readonly Signer[]): Promise<Uint8Array> {
  const signatures: Signature[] = []
  for (const signer of signers) signatures.push(await signatureBy(signer, document))
  return encodeEnvelope({ signed: document, signatures })
}
