import { createHash } from 'node:crypto'
import { defineDocument, Sha256Hex } from '@godwit/protocol/schema'
import { parseStrict } from '@godwit/protocol/trust/canonical'
import { utf8 } from '@godwit/protocol/trust/encoding'
import Type, { type Static } from 'typebox'
import { type OmsVerdict, omsAccept, omsRefuse } from './refusal.ts'
import { flawOfName } from './resource-name.ts'

export const statementType = 'https://in-toto.io/Statement/v1'
export const predicateType = 'https://model_signing/signature/v1.0'

/** Hex digest of each algorithm, by its length in characters. BLAKE3 is in no runtime of ours. */
export const digestLengths: Readonly<Record<string, number>> = { sha256: 64, blake2b: 128 }

/** `digest` is bare hex with its `algorithm` beside it: not the DigestSet that in-toto has elsewhere. */
const Resource = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 4_096 }),
  digest: Type.String({ pattern: '^[0-9a-fA-F]+$', maxLength: 128 }),
  algorithm: Type.String(),
})
export type Resource = Static<typeof Resource>

const statementDocument = defineDocument(
  'statement',
  Type.Object({
    _type: Type.Literal(statementType),
    subject: Type.Array(
      Type.Object({ name: Type.Optional(Type.String()), digest: Type.Object({ sha256: Sha256Hex }) }),
      {
        minItems: 1,
        maxItems: 1,
      },
    ),
    predicateType: Type.String({ pattern: '^https://model_signing/signature/v1\\.\\d+$' }),
    predicate: Type.Object({
      resources: Type.Array(Resource, { minItems: 1 }),
      serialization: Type.Object({
        method: Type.String(),
        hash_type: Type.String(),
        allow_symlinks: Type.Optional(Type.Boolean()),
        ignore_paths: Type.Optional(Type.Array(Type.String())),
      }),
    }),
  }),
)

export type Statement = { root: string; resources: Resource[]; ignorePaths: string[] }

/** @param resources in the order of `byCodePoint` */
export function encodeStatement(
  name: string,
  resources: readonly Resource[],
  ignorePaths: string[],
): Uint8Array {
  return utf8(
    JSON.stringify({
      _type: statementType,
      subject: [{ name, digest: { sha256: rootOf(resources) } }],
      predicateType,
      predicate: {
        resources,
        serialization: {
          method: 'files',
          hash_type: 'sha256',
          allow_symlinks: false,
          ignore_paths: ignorePaths,
        },
      },
    }),
  )
}

/** SHA-256 over the raw digests one after the other, whatever algorithm made them. */
export function rootOf(resources: readonly Resource[]): string {
  const hash = createHash('sha256')
  for (const { digest } of resources) hash.update(Buffer.from(digest, 'hex'))
  return hash.digest('hex')
}

/** The payload whose signature has just been checked: these bytes, and no other reading of the envelope. */
export function openStatement(payload: Uint8Array): OmsVerdict<Statement> {
  const invalid = (detail: string) => omsRefuse('statement_invalid', detail)
  const parsed = parseStrict(payload)
  const read = parsed.ok ? statementDocument.check(parsed.value) : parsed
  if (!read.ok) return invalid(read.detail)
  const { resources, serialization } = read.value.predicate
  if (serialization.method !== 'files')
    return invalid(`statement: this verifier reads the method files, found ${serialization.method}`)
  const seen = new Set<string>()
  for (const { name, digest, algorithm } of resources) {
    const flaw = flawOfName(name)
    if (flaw) return invalid(`statement: resource ${JSON.stringify(name)} ${flaw}`)
    // On a disk that normalises names, two spellings of one name would be one file with two digests.
    if (seen.size === seen.add(name.normalize('NFC')).size)
      return invalid(`statement: resource ${JSON.stringify(name)} stands twice`)
    const length = Object.hasOwn(digestLengths, algorithm) ? digestLengths[algorithm] : undefined
    if (length === undefined)
      return invalid(`statement: ${name}: expected algorithm sha256 or blake2b, found ${algorithm}`)
    if (digest.length !== length)
      return invalid(`statement: ${name}: a ${algorithm} digest has ${length} digits, found ${digest.length}`)
  }
  // The order is not checked: Python sorts paths by their parts, and the root covers whatever order was signed.
  const root = read.value.subject[0]!.digest.sha256
  return omsAccept({ root, resources, ignorePaths: serialization.ignore_paths ?? [] })
}
