import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ecPublicKey, hintOf } from '@godwit/hub/oms/ec-key'
import { verifyOmsBundle } from '@godwit/hub/oms/verify'
import { describe, expect, test } from 'vitest'
import { ecPair } from './signed-model.ts'

const shared = fileURLToPath(new URL('../../../../shared/data/crypto/', import.meta.url))
const model = `${shared}oms-v1.0.1-elliptic-key`
const keyFile = `${shared}oms-signing-key-pub-p384.pem`

/** Made by the reference implementation 1.0.1, before bundles named keys by a hint. Skipped where the data is absent. */
describe.skipIf(!existsSync(model) || !existsSync(keyFile))('the published vector', () => {
  const bundle = () => readFileSync(`${model}/model.sig`)
  const key = () => readFileSync(keyFile, 'utf8')

  test('verifies, with the root and the hint that its makers give', async () => {
    const verdict = await verifyOmsBundle(model, bundle(), [key()], { ignore: ['model.sig', 'ignore-me'] })
    const root = '92745110b1ab4368471cbe31664e10174e954b113a3df333db860317b2c6dec4'
    expect(verdict).toMatchObject({ ok: true, value: { root, files: ['signme-1', 'signme-2'] } })
    expect(hintOf(ecPublicKey(key()))).toMatch(/^e8450dec[0-9a-f]+3e3f8e$/)
  })

  test('its file that nobody signed is refused unless that is asked for', async () => {
    const ignore = ['model.sig']
    const because = 'unsigned_file'
    expect(await verifyOmsBundle(model, bundle(), [key()], { ignore })).toMatchObject({ because })
    const loose = await verifyOmsBundle(model, bundle(), [key()], { ignore, ignoreUnsignedFiles: true })
    expect(loose.ok).toBe(true)
  })

  test('the key that it brings along is not trusted for that', async () => {
    const verdict = await verifyOmsBundle(model, bundle(), [ecPair('secp384r1').publicKey])
    expect(verdict).toMatchObject({ ok: false, because: 'key_untrusted' })
  })
})
