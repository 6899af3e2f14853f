import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hintOf, publicPemOf } from '@godwit/hub/oms/ec-key'
import { signBundle } from '@godwit/hub/oms/sign'
import { type VerifyOptions, verifyOmsBundle } from '@godwit/hub/oms/verify'
import { describe, expect, test } from 'vitest'
import { altered, ecPair, type Loose, modelOf, resigned, sampleModel, statementIn } from './signed-model.ts'

const { privateKey, publicKey } = ecPair()

async function signedSample() {
  const model = sampleModel()
  const { bytes } = await signBundle(model, privateKey)
  return { model, bytes }
}
const verdictOn = (model: string, bytes: Uint8Array, options?: VerifyOptions) =>
  verifyOmsBundle(model, bytes, [publicKey], options)

describe('a model that was signed', () => {
  test.each(['prime256v1', 'secp384r1', 'secp521r1'])('verifies with a key on %s', async (curve) => {
    const pair = ecPair(curve)
    const model = sampleModel()
    const pem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const { bytes, root } = await signBundle(model, pem)
    const keys = [publicPemOf(publicKey), publicPemOf(pair.publicKey)]
    const value = { root, hint: hintOf(pair.publicKey), files: ['a/b.json', 'labels.txt', 'model.onnx'] }
    expect(await verifyOmsBundle(model, bytes, keys)).toMatchObject({ ok: true, value })
  })

  test('is described as the specification has it', async () => {
    const { bytes } = await signedSample()
    const outside = JSON.parse(Buffer.from(bytes).toString())
    expect(Object.keys(outside).sort()).toEqual(['dsseEnvelope', 'mediaType', 'verificationMaterial'])
    expect(outside.verificationMaterial).toEqual({ publicKey: { hint: hintOf(publicKey) }, tlogEntries: [] })
    expect(outside.dsseEnvelope.signatures).toEqual([{ sig: expect.any(String), keyid: hintOf(publicKey) }])
    expect(statementIn(bytes)).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'defect-detector' }],
      predicateType: 'https://model_signing/signature/v1.0',
      predicate: {
        serialization: {
          ...{ method: 'files', hash_type: 'sha256', allow_symlinks: false },
          ignore_paths: ['.git', '.gitattributes', '.github', '.gitignore'],
        },
      },
    })
  })

  test('lists its files by code point, not by UTF-16 unit', async () => {
    const { bytes } = await signBundle(
      modelOf({ '\u{1f600}': 'a', '\uff5e': 'b', B: 'c', a: 'd' }),
      privateKey,
    )
    const names = statementIn(bytes).predicate.resources.map(({ name }: Loose) => name)
    expect(names).toEqual(['B', 'a', '\uff5e', '\u{1f600}'])
  })

  test('may be a single file', async () => {
    const file = join(modelOf({ 'model.onnx': 'weights' }), 'model.onnx')
    const { bytes } = await signBundle(file, privateKey)
    expect(statementIn(bytes).predicate.resources).toMatchObject([{ name: 'model.onnx' }])
    expect((await verdictOn(file, bytes)).ok).toBe(true)
  })

  test('leaves out what belongs to git at its top, and the signature inside it', async () => {
    const model = modelOf({ 'model.onnx': 'w', '.git/HEAD': 'x', '.gitignore': 'y', 'sub/.gitignore': 'z' })
    const { bytes } = await signBundle(model, privateKey, { signaturePath: join(model, 'model.sig') })
    writeFileSync(join(model, 'model.sig'), bytes)
    expect(await verdictOn(model, bytes)).toMatchObject({
      ok: true,
      value: { files: ['model.onnx', 'sub/.gitignore'] },
    })
  })

  test('says which other paths it leaves out, subtrees whole', async () => {
    const model = modelOf({ 'model.onnx': 'w', 'cache/a/b': 'x' })
    const { bytes } = await signBundle(model, privateKey, { ignore: ['cache'] })
    expect(statementIn(bytes).predicate.serialization.ignore_paths).toContain('cache')
    expect((await verdictOn(model, bytes)).ok).toBe(true)
  })

  test('may have been hashed with BLAKE2b by somebody else', async () => {
    const { model, bytes } = await signedSample()
    const { digestOf } = await import('@godwit/hub/oms/model-files')
    const { rootOf } = await import('@godwit/hub/oms/statement')
    const resources = statementIn(bytes).predicate.resources
    for (const one of resources) {
      one.algorithm = 'blake2b'
      one.digest = await digestOf(join(model, one.name), 'blake2b')
    }
    const theirs = resigned(bytes, privateKey, (statement) => {
      statement.predicate.resources = resources
      statement.subject[0].digest.sha256 = rootOf(resources)
    })
    expect((await verdictOn(model, theirs)).ok).toBe(true)
  })
})

describe('what cannot be signed', () => {
  test.each([
    ['a link', (m: string) => symlinkSync('/etc/hostname', join(m, 'link'))],
    ['a name that a disk may normalise', (m: string) => writeFileSync(join(m, 'u\u0308'), 'x')],
    ['a name that is no UTF-8', (m: string) => writeFileSync(Buffer.from(`${m}/\xff`, 'latin1'), 'x')],
  ])('%s', async (_, spoil) => {
    const model = sampleModel()
    spoil(model)
    await expect(signBundle(model, privateKey)).rejects.toMatchObject({ code: 'model-unsignable' })
  })

  test('an empty directory', async () => {
    await expect(signBundle(modelOf({}), privateKey)).rejects.toThrow('no files')
  })

  test.each([
    ['Ed25519', generateKeyPairSync('ed25519').privateKey],
    ['another curve', ecPair('secp256k1').privateKey],
  ])('anything, with a key of kind %s', async (_, key) => {
    const pem = key.export({ type: 'pkcs8', format: 'pem' }) as string
    await expect(signBundle(sampleModel(), pem)).rejects.toMatchObject({ code: 'key-unsuitable' })
  })
})

describe('refused as bundle_malformed', () => {
  const cases: [string, (outside: Loose) => void][] = [
    ['another media type', (b) => (b.mediaType = 'application/json')],
    ['no signature', (b) => (b.dsseEnvelope.signatures = [])],
    ['two signatures', (b) => b.dsseEnvelope.signatures.push(b.dsseEnvelope.signatures[0])],
    ['a payload that is no base64', (b) => (b.dsseEnvelope.payload = '{}')],
    ['no key named', (b) => (b.verificationMaterial = { tlogEntries: [] })],
  ]
  test.each(cases)('%s', async (_, change) => {
    const { model, bytes } = await signedSample()
    expect(await verdictOn(model, altered(bytes, change))).toMatchObject({ because: 'bundle_malformed' })
  })

  test('no JSON, and a key that stands twice', async () => {
    const { model, bytes } = await signedSample()
    expect(await verdictOn(model, Buffer.from('nonsense'))).toMatchObject({ because: 'bundle_malformed' })
    const twice = Buffer.from(Buffer.from(bytes).toString().replace('{', '{"mediaType":"x",'))
    expect(await verdictOn(model, twice)).toMatchObject({ because: 'bundle_malformed' })
  })
})

describe('refused as key_untrusted', () => {
  test('a key that was not given', async () => {
    const { model, bytes } = await signedSample()
    const verdict = await verifyOmsBundle(model, bytes, [ecPair().publicKey])
    expect(verdict).toMatchObject({ because: 'key_untrusted' })
    expect(await verifyOmsBundle(model, bytes, [])).toMatchObject({ because: 'key_untrusted' })
  })

  test("an attacker's key smuggled inside the bundle", async () => {
    const model = sampleModel()
    const attacker = ecPair()
    const rawBytes = Buffer.from(publicPemOf(attacker.publicKey)).toString('base64')
    const { bytes } = await signBundle(model, attacker.privateKey)
    const smuggled = altered(bytes, (b) => (b.verificationMaterial.publicKey = { rawBytes }))
    expect(await verdictOn(model, smuggled)).toMatchObject({ because: 'key_untrusted' })
    // It names our key and brings its own: ours is asked, and has not signed.
    const both = { hint: hintOf(publicKey), rawBytes }
    const hinted = altered(bytes, (b) => (b.verificationMaterial.publicKey = both))
    expect(await verdictOn(model, hinted)).toMatchObject({ because: 'signature_invalid' })
  })

  test('a certificate', async () => {
    const { model, bytes } = await signedSample()
    const certified = altered(bytes, (b) => (b.verificationMaterial = { certificate: { rawBytes: 'AA==' } }))
    expect(await verdictOn(model, certified)).toMatchObject({ because: 'key_untrusted' })
  })
})

describe('refused as signature_invalid', () => {
  test('a changed statement', async () => {
    const { model, bytes } = await signedSample()
    const changed = altered(bytes, (b) => {
      const statement = Buffer.from(b.dsseEnvelope.payload, 'base64').toString()
      b.dsseEnvelope.payload = Buffer.from(statement.replace('labels', 'lapels')).toString('base64')
    })
    expect(await verdictOn(model, changed)).toMatchObject({ because: 'signature_invalid' })
  })

  test('a changed payload type, because it is part of what is signed', async () => {
    const { model, bytes } = await signedSample()
    const changed = altered(bytes, (b) => (b.dsseEnvelope.payloadType = 'text/plain'))
    expect(await verdictOn(model, changed)).toMatchObject({ because: 'signature_invalid' })
  })

  test('a signature that is no DER', async () => {
    const { model, bytes } = await signedSample()
    const changed = altered(bytes, (b) => (b.dsseEnvelope.signatures[0].sig = 'AAAA'))
    expect(await verdictOn(model, changed)).toMatchObject({ because: 'signature_invalid' })
  })
})

test('refused as payload_type_unsupported: a signature over something that is no in-toto statement', async () => {
  const { model, bytes } = await signedSample()
  const other = resigned(bytes, privateKey, () => {}, 'text/plain')
  expect(await verdictOn(model, other)).toMatchObject({ because: 'payload_type_unsupported' })
})

describe('refused as statement_invalid', () => {
  const first = (s: Loose) => s.predicate.resources[0]
  const cases: [string, (statement: Loose) => void][] = [
    ['another statement type', (s) => (s._type = 'https://in-toto.io/Statement/v0.1')],
    ['the dead predicate type', (s) => (s.predicateType = 'https://model_signing/Digests/v0.1')],
    ['no resources', (s) => (s.predicate.resources = [])],
    ['two subjects', (s) => s.subject.push(s.subject[0])],
    ['the method shards', (s) => (s.predicate.serialization.method = 'shards')],
    ['an algorithm that nobody has', (s) => (first(s).algorithm = 'md5')],
    ['a digest that is too short', (s) => (first(s).digest = 'abcd')],
    ['a resource twice', (s) => s.predicate.resources.push(first(s))],
    [
      'a resource in two spellings',
      (s) => {
        const { digest, algorithm } = first(s)
        s.predicate.resources.push(
          { name: '\u00fc', digest, algorithm },
          { name: 'u\u0308', digest, algorithm },
        )
      },
    ],
    ['a path out of the model', (s) => (first(s).name = '../../etc/passwd')],
    ['a path out of the model from within', (s) => (first(s).name = 'a/../../x')],
    ['an absolute path', (s) => (first(s).name = '/etc/passwd')],
    ['a path with backslashes', (s) => (first(s).name = '..\\x')],
    ['a path that is not normalised', (s) => (first(s).name = 'a/./b')],
  ]
  test.each(cases)('%s', async (_, change) => {
    const { model, bytes } = await signedSample()
    const hostile = resigned(bytes, privateKey, change)
    expect(await verdictOn(model, hostile)).toMatchObject({ because: 'statement_invalid' })
  })
})

describe('refused for its files', () => {
  const cases: [string, string, (model: string) => void][] = [
    ['file_missing', 'a file gone', (m) => rmSync(join(m, 'labels.txt'))],
    [
      'file_missing',
      'a name in another case',
      (m) => renameSync(join(m, 'labels.txt'), join(m, 'LABELS.txt')),
    ],
    [
      'file_missing',
      'a directory in its place',
      (m) => {
        rmSync(join(m, 'labels.txt'))
        mkdirSync(join(m, 'labels.txt'))
      },
    ],
    ['digest_mismatch', 'a file changed', (m) => writeFileSync(join(m, 'model.onnx'), 'Weights')],
    ['unsigned_file', 'a file more', (m) => writeFileSync(join(m, 'a/extra.py'), 'import os')],
    [
      'unsigned_file',
      'a name that is no UTF-8',
      (m) => writeFileSync(Buffer.from(`${m}/\xff`, 'latin1'), 'x'),
    ],
    ['symlink_refused', 'a link more', (m) => symlinkSync('model.onnx', join(m, 'other.onnx'))],
    [
      'symlink_refused',
      'a file behind a link, though its content is right',
      (m) => {
        renameSync(join(m, 'model.onnx'), join(m, '../model.onnx'))
        symlinkSync('../model.onnx', join(m, 'model.onnx'))
      },
    ],
  ]
  test.each(cases)('%s: %s', async (because, _, spoil) => {
    const { model, bytes } = await signedSample()
    spoil(model)
    expect(await verdictOn(model, bytes)).toMatchObject({ ok: false, because })
  })

  test('a directory behind a link, though its content is right', async () => {
    const { model, bytes } = await signedSample()
    renameSync(join(model, 'a'), join(model, '../a'))
    symlinkSync('../a', join(model, 'a'))
    expect(await verdictOn(model, bytes)).toMatchObject({ ok: false })
  })

  test('unsigned files may be ignored when asked, links never', async () => {
    const { model, bytes } = await signedSample()
    writeFileSync(join(model, 'extra'), 'x')
    expect((await verdictOn(model, bytes, { ignoreUnsignedFiles: true })).ok).toBe(true)
    symlinkSync('extra', join(model, 'link'))
    const verdict = await verdictOn(model, bytes, { ignoreUnsignedFiles: true })
    expect(verdict).toMatchObject({ because: 'symlink_refused' })
  })
})

test('refused as root_mismatch: a statement about another model than its files make', async () => {
  const { model, bytes } = await signedSample()
  const other = resigned(bytes, privateKey, (s) => (s.subject[0].digest.sha256 = '0'.repeat(64)))
  expect(await verdictOn(model, other)).toMatchObject({ because: 'root_mismatch' })
})
