import type { Signature } from '@godwit/protocol/trust/envelope'
import { encodeEnvelope, type Root } from '@godwit/protocol/trust/metadata'
import { signatoryOf } from '../trust/delegations.ts'
import type { Shell } from './command.ts'
import { rootAtHub, signedOnly, targetsAtHub } from './current-trust.ts'
import {
  nameOf,
  readDocument,
  readRoot,
  readTargets,
  roleOf,
  type TrustDocument,
  writeDocument,
  writeNew,
} from './documents.ts'
import { CliError } from './exit.ts'
import {
  type Authority,
  assembled,
  missingSignatures,
  readSignatureFile,
  signatureFile,
} from './signature-file.ts'
import { openSigners, type SignerOptions, signatureBy } from './signers.ts'
import { flawOfPrevious, wordsOf } from './words.ts'

export type SignOptions = SignerOptions & { previous?: string; out: string }

/** One signature, or one for each key given, over a document made elsewhere. Needs no hub and no network. */
export async function signFile(shell: Shell, path: string, options: SignOptions): Promise<void> {
  const { envelope } = readDocument(path)
  const { signed } = envelope
  const previous = options.previous === undefined ? undefined : readDocument(options.previous).envelope.signed
  const flaw = previous && flawOfPrevious(previous, signed)
  if (flaw) throw new CliError('usage', 'previous_mismatch', `--previous ${options.previous}: ${flaw}`)
  // Before the passphrase is asked for: giving it is the consent.
  shell.out.note('You are about to sign:')
  for (const line of wordsOf(signed, previous, shell.now())) shell.out.note(line)
  if (!previous && signed.version > 1) shell.out.note('With --previous FILE you see what it changes.')
  const signatures: Signature[] = []
  for (const signer of await openSigners(shell, options)) signatures.push(await signatureBy(signer, signed))
  const file = signatureFile(signed, signatures)
  writeDocument(options.out, file)
  shell.out.print(
    { out: options.out, ...file },
    () =>
      `${nameOf(signed)} signed by ${signatures.map(({ keyid }) => keyid).join(', ')}, written to ${options.out}`,
  )
}

export type AssembleOptions = {
  signature: string[]
  out: string
  root?: string
  targets?: string
  partial?: boolean
}

/** Puts signatures made elsewhere into their document, and says whether they are enough. */
export async function assemble(shell: Shell, path: string, options: AssembleOptions): Promise<void> {
  const document = readDocument(path)
  const { signed } = document.envelope
  const signatures = options.signature.flatMap((from) =>
    readSignatureFile(from, signed).map((signature) => ({ from, signature })),
  )
  const authorities = await authoritiesOf(shell, document, options)
  const whole = assembled(document, signatures, authorities)
  const missing = missingSignatures(whole, authorities)
  if (missing.length > 0 && !options.partial)
    throw new CliError(
      'verification',
      'threshold_not_met',
      `${nameOf(signed)}: ${missing.join('; ')}`,
      'bring more signatures, or pass it on with --partial',
    )
  const bytes = encodeEnvelope(whole)
  writeNew(options.out, bytes)
  const made = {
    out: options.out,
    role: document.role,
    version: signed.version,
    signatures: whole.signatures.length,
    missing,
  }
  shell.out.print(made, () =>
    missing.length > 0
      ? `${options.out} is not ready yet: ${missing.join('; ')}`
      : `${options.out} is ${nameOf(signed)} with every signature it needs. Next: godwit trust push ${options.out}`,
  )
}

/** From files; what was not given is asked of the hub. */
async function authoritiesOf(
  shell: Shell,
  { envelope: { signed }, role }: TrustDocument,
  options: { root?: string; targets?: string },
): Promise<Authority[]> {
  const rootBefore = () =>
    options.root === undefined ? rootAtHub(shell.hub()) : Promise.resolve(readRoot(options.root))
  if (signed._type === 'root') {
    const own = rootAuthority(signed, `root ${signed.version}, its own keys`)
    if (signed.version === 1) return [own]
    const old = await rootBefore()
    if (old.version !== signed.version - 1)
      throw new CliError(
        'usage',
        'previous_mismatch',
        `expected root ${signed.version - 1} to judge root ${signed.version} by, found root ${old.version}`,
        '--root FILE names it',
      )
    return [rootAuthority(old, `root ${signed.version}, the keys of root ${old.version}`), own]
  }
  if (role === 'targets') {
    const { keys, roles } = await rootBefore()
    return [{ name: nameOf(signed), keys, role: roles['targets']! }]
  }
  const targets =
    options.targets === undefined
      ? signedOnly(await targetsAtHub(shell.hub(), await rootBefore()))
      : readTargets(options.targets)
  const signatory = signatoryOf(role, targets)
  if (!signatory)
    throw new CliError('notFound', 'team_unknown', `${nameOf(targets)} delegate to no team ${role}`)
  return [signatory]
}

function rootAuthority({ keys, roles }: Root, name: string): Authority {
  return { name, keys, role: roles['root']! }
}

/** Hands signed documents to the hub, in the order given. */
export async function push(shell: Shell, files: readonly string[]): Promise<void> {
  const documents = files.map(readDocument)
  const hub = shell.hub()
  const pushed: { file: string; role: string; version: number; mustBeSignedAgain?: string[] }[] = []
  for (const { path, envelope, role } of documents) {
    const isTop = role === 'root' || role === 'targets'
    const answer = await hub.sendBytes<{ version: number; mustBeSignedAgain?: string[] }>(
      'PUT',
      isTop ? `/api/v1/metadata/${role}` : `/api/v1/metadata/teams/${encodeURIComponent(role)}`,
      encodeEnvelope(envelope),
      'application/json',
    )
    for (const name of answer.mustBeSignedAgain ?? []) {
      const team = name === 'targets' ? '' : ` --team ${name}`
      shell.out.note(
        `${name} must be signed again by the keys that are left; no device installs what it lists until then: godwit trust renew${team} --out FILE`,
      )
    }
    pushed.push({ file: path, role, ...answer })
  }
  shell.out.print(pushed, () =>
    pushed.map(({ file, role, version }) => `${file}: the hub took ${role} ${version}`).join('\n'),
  )
}

/** A document as the hub has it now, to carry to a machine without a network. */
export async function fetchDocument(shell: Shell, what: string, options: { out: string }): Promise<void> {
  const isTop = what === 'root' || what === 'targets'
  const path = isTop ? `/api/v1/metadata/${what}` : `/api/v1/metadata/teams/${encodeURIComponent(what)}`
  writeNew(options.out, await shell.hub().bytes(path))
  const { signed } = readDocument(options.out).envelope
  shell.out.print({ out: options.out, role: roleOf(signed), version: signed.version }, () =>
    [...wordsOf(signed, undefined, shell.now()), `written to ${options.out}`].join('\n'),
  )
}
