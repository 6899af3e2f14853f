import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCodes } from '@godwit/hub/cli/exit'
import { preAuthEncoding } from '@godwit/hub/oms/dsse'
import { newEcKey } from '@godwit/hub/oms/new-key'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FleetInABox, model } from '../../support/fleet-in-a-box.ts'
import { identityFiles } from '../../support/identity-bundle.ts'

let box: FleetInABox
const at = (name: string) => join(box.directory, name)
const godwit = (...args: string[]) => box.stage.tryGodwit(...args)

beforeAll(async () => {
  box = await FleetInABox.open()
  const { privatePem, publicPem } = newEcKey('a passphrase of the makers')
  writeFileSync(at('makers.pem'), privatePem)
  writeFileSync(at('makers.pub.pem'), publicPem)
  writeFileSync(at('makers.txt'), 'a passphrase of the makers\n')
})
afterAll(() => box?.close())

const withOmsKey = () => ['--oms-key', at('makers.pem'), '--oms-passphrase-file', at('makers.txt')]

test('a version that was published with an EC key is verified by its standard signature alone', async () => {
  const published = await godwit(...box.publishArguments('1', identityFiles), ...withOmsKey())
  expect(published).toMatchObject({ code: 0 })
  expect(JSON.parse(published.stdout).modelSignatures).toHaveLength(1)

  expect(await godwit('version', 'download', `${model}@1`, at('one'))).toMatchObject({ code: 0 })
  const [signature] = readdirSync(at('one/signatures'))
  const verify = ['oms', 'verify', at('one/files'), '--key', at('makers.pub.pem')]
  const verified = await godwit(...verify, '--signature', join(at('one/signatures'), signature!))
  expect(verified).toMatchObject({ code: 0 })
  expect(JSON.parse(verified.stdout)).toMatchObject({ verified: true })
})

test.skipIf(!existsSync('/usr/bin/openssl'))('openssl agrees that the signature is one by that key', () => {
  const [name] = readdirSync(at('one/signatures'))
  const { dsseEnvelope } = JSON.parse(readFileSync(join(at('one/signatures'), name!), 'utf8'))
  const payload = Buffer.from(dsseEnvelope.payload, 'base64')
  writeFileSync(at('pae'), preAuthEncoding(dsseEnvelope.payloadType, payload))
  writeFileSync(at('der'), Buffer.from(dsseEnvelope.signatures[0].sig, 'base64'))
  const check = ['dgst', '-sha256', '-verify', at('makers.pub.pem'), '-signature', at('der'), at('pae')]
  expect(execFileSync('openssl', check).toString()).toContain('Verified OK')
})

test('a second signer of the same files is kept beside the first', async () => {
  const { privatePem } = newEcKey('other')
  writeFileSync(at('auditor.pem'), privatePem)
  writeFileSync(at('auditor.txt'), 'other\n')
  const sign = ['oms', 'sign', at('one/files'), '--key', at('auditor.pem'), '--passphrase-file']
  expect(await godwit(...sign, at('auditor.txt'), '--out', at('auditor.sig'))).toMatchObject({ code: 0 })
  const attach = ['oms', 'attach', `${model}@1`, '--signature', at('auditor.sig')]
  expect(await godwit(...attach)).toMatchObject({ code: 0 })
  expect(await godwit(...attach)).toMatchObject({ code: 0 })
  const shown = JSON.parse((await godwit('version', 'show', `${model}@1`)).stdout)
  expect(shown.signatures).toHaveLength(2)
})

test('a signature over other files is refused by name', async () => {
  const files = { ...identityFiles, 'README.md': '# another model\n' }
  expect(await godwit(...box.publishArguments('2', files))).toMatchObject({ code: 0 })
  const refused = await godwit('oms', 'attach', `${model}@2`, '--signature', at('auditor.sig'))
  expect(refused.code).toBe(exitCodes.failure)
  expect(refused.stderr).toContain('signature-invalid')
  expect(refused.stderr).toContain('README.md is a file of the release and was not signed')
})

test('a wrong passphrase for the EC key publishes nothing', async () => {
  writeFileSync(at('makers.txt'), 'wrong\n')
  const refused = await godwit(...box.publishArguments('3', identityFiles), ...withOmsKey())
  expect(refused.code).not.toBe(0)
  const known = JSON.parse((await godwit('version', 'list', model)).stdout)
  expect(known.map(({ version }: { version: string }) => version)).not.toContain('3')
})
