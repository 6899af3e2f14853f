import type { KeyObject } from 'node:crypto'
import { relative, resolve, sep } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import { encodeBundle } from './bundle.ts'
import { inTotoPayloadType, preAuthEncoding } from './dsse.ts'
import { ecPrivateKey, ecSign, hintOf } from './ec-key.ts'
import { defaultIgnored, digestOf, listModel } from './model-files.ts'
import { byCodePoint } from './resource-name.ts'
import { encodeStatement, type Resource, rootOf } from './statement.ts'

export type SignOptions = {
  passphrase?: string
  /** Paths from the top of the model that the signature shall not cover; they are named in it. */
  ignore?: readonly string[]
  /** Where the signature will be written: left out of the manifest when that is inside the model. */
  signaturePath?: string
}
export type SignedModel = { bytes: Uint8Array; hint: string; root: string; files: number }

/**
 * Signs every file of a model as OpenSSF Model Signing 1.0 has it, for `model_signing` and `cosign` to verify.
 *
 * @param key EC private key, or its PEM
 * @throws Fault for a key of another kind, a model without files, or one that holds links or unportable names
 */
export async function signBundle(
  model: string,
  key: KeyObject | string,
  { passphrase, ignore = [], signaturePath }: SignOptions = {},
): Promise<SignedModel> {
  const privateKey = typeof key === 'string' ? ecPrivateKey(key, passphrase) : key
  const own = signaturePath === undefined ? [] : insideOf(model, signaturePath)
  const ignored = [...new Set([...defaultIgnored, ...ignore, ...own])].sort(byCodePoint)
  const { name, files, links, strange } = await listModel(model, ignored)
  const odd = links[0] ?? strange[0] ?? [...files.keys()].find((one) => one.normalize('NFC') !== one)
  if (odd !== undefined) {
    const what = 'a signed model holds plain files with names in normalised UTF-8, no links'
    throw new Fault('model-unsignable', `${model}: ${JSON.stringify(odd)}: ${what}`)
  }
  if (files.size === 0) throw new Fault('model-unsignable', `${model} holds no files`)
  const digests = new Map<string, string>()
  for (const [file, path] of files) digests.set(file, await digestOf(path, 'sha256'))
  return signDigests(name, digests, privateKey, ignored)
}

/**
 * Signs files whose digests are known already, as those of a release are.
 *
 * @param digests hex SHA-256 by the file's path from the model's top
 */
export function signDigests(
  name: string,
  digests: ReadonlyMap<string, string>,
  key: KeyObject,
  ignored: readonly string[] = defaultIgnored,
): SignedModel {
  const resources: Resource[] = [...digests]
    .sort(([a], [b]) => byCodePoint(a, b))
    .map(([file, digest]) => ({ name: file, digest, algorithm: 'sha256' }))
  const statement = encodeStatement(name, resources, [...ignored])
  const hint = hintOf(key)
  const signature = ecSign(key, preAuthEncoding(inTotoPayloadType, statement))
  return {
    bytes: encodeBundle(statement, signature, hint),
    hint,
    root: rootOf(resources),
    files: digests.size,
  }
}

/** The path from the model's top, when it lies inside; at most one. */
export function insideOf(model: string, path: string): string[] {
  const inner = relative(resolve(model), resolve(path))
  return inner === '' || inner.startsWith('..') ? [] : [inner.split(sep).join('/')]
}
