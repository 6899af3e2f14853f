import Type, { type Static, type TSchema } from 'typebox'
import { type Document, defineDocument, mapOf, Rfc3339 } from '../schema.ts'
import { fromRfc3339 } from '../units.ts'
import { openEnvelope, RoleKeys, type Signed } from './envelope.ts'
import { Key, type KeyPolicy, keyIdOf, verifierOf } from './key.ts'
import { accept, type Refused, refuse, type Verdict } from './refusal.ts'

export * from './envelope.ts'
export * from './key.ts'

/** Look names up with this, because one may be `constructor`. */
export function own<T>(map: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined
}

// Objects are open everywhere: "implementers who encounter undefined attribute-value pairs in the format must
// include the data when calculating hashes or verifying signatures" (TUF §4).

const Version = Type.Integer({ minimum: 1 })
const common = { spec_version: Type.String(), version: Version, expires: Type.String() }
const Hashes = mapOf(Type.String({ pattern: '^[0-9a-fA-F]+$' }))

/** What timestamp and snapshot say of another metadata file (TUF §4.4). */
export const MetaFile = Type.Object({
  version: Version,
  length: Type.Optional(Type.Integer({ minimum: 1 })),
  hashes: Type.Optional(Hashes),
})
export type MetaFile = Static<typeof MetaFile>

/** A file that may be installed (TUF §4.5). `custom` holds integers only, as everything that is signed. */
export const TargetFile = Type.Object({
  length: Type.Integer({ minimum: 0 }),
  hashes: Hashes,
  custom: Type.Optional(Type.Unsafe<Record<string, unknown>>(Type.Object({}))),
})
export type TargetFile = Static<typeof TargetFile>

export const DelegatedRole = Type.Object({
  name: Type.String({ minLength: 1 }),
  keyids: Type.Array(Type.String()),
  threshold: Type.Integer({ minimum: 1 }),
  terminating: Type.Boolean(),
  paths: Type.Optional(Type.Array(Type.String())),
  path_hash_prefixes: Type.Optional(Type.Array(Type.String())),
})
export type DelegatedRole = Static<typeof DelegatedRole>

export const Delegations = Type.Object({
  keys: mapOf(Key),
  roles: Type.Optional(Type.Array(DelegatedRole)),
})
export type Delegations = Static<typeof Delegations>

/** `roles` may name more than the four of TUF: ours has `director`. */
const RootSchema = Type.Object({
  _type: Type.Literal('root'),
  ...common,
  consistent_snapshot: Type.Optional(Type.Boolean()),
  keys: mapOf(Key),
  roles: Type.Unsafe<Record<string, RoleKeys>>(
    Type.Object(
      { root: RoleKeys, timestamp: RoleKeys, snapshot: RoleKeys, targets: RoleKeys },
      { additionalProperties: RoleKeys },
    ),
  ),
})
export type Root = Static<typeof RootSchema>

const TimestampSchema = Type.Object({
  _type: Type.Literal('timestamp'),
  ...common,
  meta: Type.Unsafe<Record<string, MetaFile> & { 'snapshot.json': MetaFile }>(
    Type.Object({ 'snapshot.json': MetaFile }, { additionalProperties: MetaFile }),
  ),
  /** When it was signed, which TUF does not say: proof of the earliest that it can be (SPEC 3.7). */
  godwit_issued: Type.Optional(Rfc3339),
  /** Signed for a stick, where it lives longer: worth nothing on the wire (SPEC 3.10). */
  godwit_medium: Type.Optional(Type.Literal(true)),
})
export type Timestamp = Static<typeof TimestampSchema>

const SnapshotSchema = Type.Object({
  _type: Type.Literal('snapshot'),
  ...common,
  meta: Type.Unsafe<Record<string, MetaFile> & { 'targets.json': MetaFile }>(
    Type.Object({ 'targets.json': MetaFile }, { additionalProperties: MetaFile }),
  ),
})
export type Snapshot = Static<typeof SnapshotSchema>

const TargetsSchema = Type.Object({
  _type: Type.Literal('targets'),
  ...common,
  targets: mapOf(TargetFile),
  delegations: Type.Optional(Delegations),
})
export type Targets = Static<typeof TargetsSchema>

export const documents = {
  root: defineDocument('root', RootSchema),
  timestamp: defineDocument('timestamp', TimestampSchema),
  snapshot: defineDocument('snapshot', SnapshotSchema),
  targets: defineDocument('targets', TargetsSchema),
} as const

export type MetadataType = keyof typeof documents
export type MetadataOf = { root: Root; timestamp: Timestamp; snapshot: Snapshot; targets: Targets }
export const topLevelRoles: readonly string[] = ['root', 'timestamp', 'snapshot', 'targets']

/** The TUF version whose format we write. Any 1.x is read: majors are what breaks clients (§4.3). */
export const specVersion = '1.0.31'

/** Reads metadata into its type. The signatures are still to be checked. */
export function openMetadata<T extends MetadataType>(
  bytes: Uint8Array,
  type: T,
  policy: KeyPolicy,
): Verdict<Signed<MetadataOf[T]>> {
  const envelope = openEnvelope(bytes, type)
  if (!envelope.trusted) return envelope
  const { signed, signatures } = envelope.value
  const read = (documents[type] as unknown as Document<TSchema>).check(signed)
  if (!read.ok) return refuse('malformed', read.detail)
  const metadata = read.value as MetadataOf[T]
  const flaw = flawOf(metadata, policy)
  return flaw ?? accept({ signed: metadata, signatures })
}

function flawOf(metadata: MetadataOf[MetadataType], policy: KeyPolicy): Refused | undefined {
  const { _type: type, spec_version: spec, expires } = metadata
  if (!/^1\.\d+(\.\d+)?$/.test(spec))
    return refuse('wrong-spec-version', `${type}: expected spec_version 1.x, found ${spec}`)
  // A date that fails to parse would compare as "not expired".
  if (!expires.endsWith('Z') || Number.isNaN(fromRfc3339(expires)))
    return refuse('malformed', `${type}: expires is no UTC date: ${expires}`)
  if (metadata._type === 'root') return flawOfKeys('root', metadata.keys, policy)
  if (metadata._type === 'targets' && metadata.delegations)
    return flawOfDelegations(metadata.delegations, policy)
  return undefined
}

/** TUF §4.3: "clients MUST calculate each KEYID to verify this is correct for the associated KEY". */
function flawOfKeys(where: string, keys: Record<string, Key>, policy: KeyPolicy): Refused | undefined {
  for (const [keyid, key] of Object.entries(keys)) {
    // A kind of key that we do not accept cannot sign for us, and its id may follow rules we do not know.
    if (verifierOf(policy, key) && keyIdOf(key) !== keyid)
      return refuse('malformed', `${where}: key ${keyid} has in truth the id ${keyIdOf(key)}`)
  }
  return undefined
}

function flawOfDelegations(delegations: Delegations, policy: KeyPolicy): Refused | undefined {
  const seen = new Set<string>()
  for (const role of delegations.roles ?? []) {
    // §4.5: role names are unique within one delegations object.
    if (seen.has(role.name)) return refuse('malformed', `targets: role ${role.name} is delegated to twice`)
    seen.add(role.name)
    // Its file would overwrite that of the top-level role.
    if (topLevelRoles.includes(role.name))
      return refuse('malformed', `targets: a delegated role must not be called ${role.name}`)
    if (role.paths && role.path_hash_prefixes)
      return refuse('malformed', `targets: role ${role.name} has both paths and path_hash_prefixes`)
  }
  return flawOfKeys('targets', delegations.keys, policy)
}
