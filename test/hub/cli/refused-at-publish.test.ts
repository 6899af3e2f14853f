import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCodes } from '@godwit/hub/cli/exit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FleetInABox, model } from '../../support/fleet-in-a-box.ts'
import { identityFiles, largeModel } from '../../support/identity-bundle.ts'
import { identityGolden, identityModel, identityPipeline } from '../support/bundle.ts'

let box: FleetInABox
beforeAll(async () => {
  box = await FleetInABox.open()
})
afterAll(() => box?.close())

type Version = { version: string; listed: boolean }
const known = async () =>
  (await box.stage.hub.get<{ versions: Version[] }>(`/api/v1/models/${model}`)).versions

async function refused(args: string[]): Promise<{ code: number; message: string; error: string }> {
  const { code, stdout, stderr } = await box.stage.tryGodwit(...args)
  expect(stdout).toBe('')
  // Notes on what is uploaded may stand before it.
  const { error } = JSON.parse(stderr.trim().split('\n').at(-1)!) as {
    error: { code: string; message: string }
  }
  return { code, message: error.message, error: error.code }
}

describe('godwit version publish', () => {
  const whole = largeModel(100_000)
  const tensor = { dtype: 'float32' as const, shape: [1, 3, 2], data: [1, 2, 3, 4, 5, 6] }

  test.each([
    ['a text file', { 'model.onnx': 'once upon a time\n' }, 'verification', 'model_refused', /model\.onnx/],
    [
      'an ONNX file that was cut off',
      { 'model.onnx': whole.subarray(0, whole.length - 5_000) },
      'verification',
      'model_refused',
      /model\.onnx.*(cut|end|truncated)/,
    ],
    [
      'golden inputs of another shape',
      {
        'golden.json': JSON.stringify({
          ...identityGolden,
          cases: [{ inputs: { window: tensor }, outputs: { score: tensor } }],
        }),
      },
      'failure',
      'validation',
      /input window: has shape \[1,3,2\], expected \[1,2,2\]/,
    ],
    [
      'golden inputs of another name',
      {
        'golden.json': JSON.stringify({
          ...identityGolden,
          cases: [
            { ...identityGolden.cases[0], inputs: { frames: identityGolden.cases[0]!.inputs['window'] } },
          ],
        }),
      },
      'failure',
      'validation',
      /frames.*input window: missing/s,
    ],
    [
      'a pipeline that feeds another input',
      { 'pipeline.json': JSON.stringify({ ...identityPipeline, input: 'frames' }) },
      'failure',
      'validation',
      /frames: the model has no such input/,
    ],
    ['no golden vectors at all', { 'golden.json': '{}' }, 'failure', 'bundle_malformed', /golden/],
  ] as const)('refuses %s, and says what is wrong with it', async (_, files, exit, error, words) => {
    const found = await refused(box.publishArguments('bad', { ...identityFiles, ...files }))
    expect(found).toMatchObject({ code: exitCodes[exit], error })
    expect(found.message).toMatch(words)
    expect(await known()).toEqual([])
  })

  test('refuses a directory that is not there', async () => {
    const [noun, verb, , ...rest] = box.publishArguments('bad', identityFiles)
    const found = await refused([noun!, verb!, join(box.directory, 'nowhere'), ...rest])
    expect(found).toMatchObject({ code: exitCodes.notFound, error: 'bundle_missing' })
  })

  test('needs the right passphrase, and uploads nothing without it', async () => {
    const args = box.publishArguments('bad', { ...identityFiles, 'pass.txt': 'not this one' })
    const wrong = join(box.directory, 'bundles', 'bad', 'pass.txt')
    const found = await refused(args.map((arg) => (arg === box.stage.passphraseFile ? wrong : arg)))
    expect(found).toMatchObject({ code: exitCodes.auth, error: 'key_locked' })
    expect(found.message).toContain('passphrase')
    expect(await known()).toEqual([])
  })

  test('refuses a key that is no targets key, and uploads nothing', async () => {
    const stranger = join(box.stage.keyDirectory, 'stranger.key.json')
    await box.stage.godwit(
      ...['key', 'generate', 'stranger', '--keys', box.stage.keyDirectory],
      ...['--passphrase-file', box.stage.passphraseFile],
    )
    const found = await refused(box.publishArguments('1', identityFiles, stranger))
    expect(found).toMatchObject({ code: exitCodes.verification, error: 'threshold_not_met' })
    expect(found.message).toContain('targets')
    expect(await known()).toEqual([])
  })

  test('finishes what was uploaded before and never signed, as the same release', async () => {
    const signed = box.publishArguments('1', identityFiles)
    const unsigned = signed.slice(0, signed.indexOf('--key'))
    await box.stage.godwit(...unsigned, '--prepare', join(box.directory, 'targets.json'))
    const [uploaded] = await known()
    expect(uploaded).toMatchObject({ version: '1', listed: false })
    await box.publish('1')
    expect(await known()).toMatchObject([{ ...uploaded, listed: true }])
  })

  test('refuses a second release under a name that is taken, whether it is another model or the same', async () => {
    const [before] = await known()
    expect(before).toMatchObject({ version: '1', listed: true })
    for (const files of [
      identityFiles,
      { ...identityFiles, 'model.onnx': identityModel({ name: 'other' }) },
    ]) {
      const found = await refused(box.publishArguments('1', files))
      expect(found).toMatchObject({ code: exitCodes.conflict, error: 'version-exists' })
      expect(found.message).toContain('1')
    }
    expect(await known()).toEqual([before])
  })

  test('takes what its makers signed, and refuses what was changed since or signed by a stranger', async () => {
    const { stage } = box
    const at = (name: string) => join(box.directory, name)
    const pass = ['--passphrase-file', stage.passphraseFile]
    for (const name of ['makers', 'stranger'])
      await stage.godwit('oms', 'key', '--out', at(`${name}.pem`), ...pass)
    const args = box.publishArguments('2', { ...identityFiles, 'README.md': 'as its makers wrote it' })
    const signature = at('2.sig')
    await stage.godwit('oms', 'sign', args[2]!, '--key', at('makers.pem'), '--out', signature, ...pass)
    const require = (who: string) => ['--require-oms', at(`${who}.pub.pem`), '--oms-signature', signature]

    const stranger = await refused([...args, ...require('stranger')])
    expect(stranger).toMatchObject({ code: exitCodes.verification, error: 'key_untrusted' })
    writeFileSync(join(args[2]!, 'README.md'), 'as somebody else wrote it')
    const changed = await refused([...args, ...require('makers')])
    expect(changed).toMatchObject({ code: exitCodes.verification, error: 'digest_mismatch' })
    expect(changed.message).toContain('README.md')
    expect(await refused([...args, '--oms-signature', signature])).toMatchObject({ code: exitCodes.usage })

    writeFileSync(join(args[2]!, 'README.md'), 'as its makers wrote it')
    await stage.godwit(...args, ...require('makers'))
    expect((await known()).map(({ version }) => version).sort()).toEqual(['1', '2'])
  })

  test('refuses a model that nobody has created, and arguments that are no version', async () => {
    const args = box.publishArguments('1', identityFiles)
    const as = (what: string) => args.map((arg) => (arg === `${model}@1` ? what : arg))
    expect(await refused(as('unheard-of@1'))).toMatchObject({ code: exitCodes.notFound, error: 'not-found' })
    expect(await refused(as('identity'))).toMatchObject({ code: exitCodes.usage, error: 'not_a_version' })
    expect(await refused(as('identity@1@2'))).toMatchObject({ code: exitCodes.usage })
  })
})
