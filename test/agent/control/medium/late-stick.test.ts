import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { importMedium } from '@godwit/agent/control/medium/import'
import { pathsIn } from '@godwit/agent/control/paths'
import { describeFile, sha256Hex } from '@godwit/protocol/release/blocks'
import { mediumFormat, mediumLayout } from '@godwit/protocol/release/medium'
import { targetPathOf } from '@godwit/protocol/release/release'
import { afterEach, expect, test } from 'vitest'
import { mayMount, mountTmpfs, unmountTmpfs } from '../../../support/tmpfs.ts'
import { dateOf, dayMs, now, TufRepository } from '../../../support/tuf-repository.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'godwit-late-'))
  folders.push(made)
  return made
}

/** A stick whose timestamp ended a day after it was written, with a release that has this grace. */
function written(maxStalenessMs?: number) {
  const repository = new TufRepository({ extraRoles: ['director'] })
  for (const signed of [repository.root, repository.targets.get('targets')!])
    signed.expires = dateOf(now + 365 * dayMs)
  repository.timestamp.expires = dateOf(now + dayMs)
  const file = Buffer.from('a model')
  const files = { 'model.onnx': describeFile(file), 'golden.json': describeFile(Buffer.from('{}')) }
  const bytes = Buffer.from(
    JSON.stringify({
      ...{ format: 'godwit-release/1', model: 'gauge', version: '4', releaseCounter: 1 },
      createdAt: dateOf(now),
      files: { ...files, 'pipeline.json': files['golden.json'] },
      variants: [{ name: 'fp32', file: 'model.onnx', executionProviders: ['cpu'], precision: 'float32' }],
      io: {
        inputs: [{ name: 'x', dtype: 'float32', shape: [1, 2] }],
        outputs: [{ name: 'y', dtype: 'float32', shape: [1] }],
      },
      ...{ golden: 'golden.json', pipeline: 'pipeline.json' },
      ...{ requires: { opset: { 'ai.onnx': 17 }, irVersion: 8 }, promises: {} },
    }),
  )
  const release = { model: 'gauge', version: '4', releaseDigest: sha256Hex(bytes) }
  repository.targets.get('targets')!.targets[targetPathOf('gauge', '4')] = {
    length: bytes.length,
    hashes: { sha256: release.releaseDigest },
    custom: {
      ...{ kind: 'godwit-release/1', model: 'gauge', version: '4', releaseCounter: 1 },
      ...(maxStalenessMs !== undefined && { maxStalenessMs }),
    },
  }
  repository.publishAll()
  const stick = folder()
  const put = (path: string, content: Uint8Array | string) => {
    mkdirSync(dirname(join(stick, path)), { recursive: true })
    writeFileSync(join(stick, path), content)
  }
  for (const [name, document] of repository.files) put(`${mediumLayout.metadata}/${name}`, document)
  for (const blob of [file, Buffer.from('{}'), bytes]) put(`${mediumLayout.blobs}/${sha256Hex(blob)}`, blob)
  put(mediumLayout.index, JSON.stringify({ format: mediumFormat, releases: [release] }))
  return { stick, root: repository.files.get('1.root.json')! }
}

/** A device that joined before the stick was written, and a person who brings it so many days later. */
function imported(stick: string, root: Uint8Array, days: number, stateDir = folder()) {
  const paths = pathsIn(stateDir)
  writeFileSync(
    paths.enrolment,
    JSON.stringify({
      ...{ fleet: 'plant', deviceId: 'cam', labels: {} },
      ...{ mqttUrl: 'mqtt://127.0.0.1:1', httpUrl: 'http://127.0.0.1:1' },
      root: Buffer.from(root).toString('base64'),
      time: dateOf(now - dayMs),
    }),
  )
  return importMedium(stick, paths, { wallMs: () => now + days * dayMs, floorMs: now - dayMs })
}

test('a stick that comes before its metadata has expired is taken', async () => {
  const { stick, root } = written()
  expect(await imported(stick, root, 0.5)).toMatchObject({ releases: [{ version: '4' }] })
})

test('one that comes later is refused, and the person hears when it expired', async () => {
  const { stick, root } = written()
  await expect(imported(stick, root, 20)).rejects.toMatchObject({
    code: 'medium-refused',
    message: expect.stringMatching(/gauge 4: .*valid until 2026-11-23.*up to 0 ms later.*\(expired\)/),
  })
})

test('unless the publishers signed that this release may be installed so late', async () => {
  const { stick, root } = written(30 * dayMs)
  expect(await imported(stick, root, 20)).toMatchObject({ releases: [{ version: '4' }] })
  await expect(imported(stick, root, 40)).rejects.toMatchObject({ code: 'medium-refused' })
})

test.skipIf(!mayMount())(
  'a device without room for it says what is needed and what is there (skipped where mounting is not allowed)',
  async () => {
    const { stick, root } = written()
    const stateDir = folder()
    mountTmpfs(stateDir, 'size=16m')
    try {
      await expect(imported(stick, root, 0.5, stateDir)).rejects.toMatchObject({
        code: 'no-space',
        message: expect.stringMatching(/^16777216 bytes are needed below .*, and 167\d+ are free/),
      })
    } finally {
      unmountTmpfs(stateDir)
    }
  },
)
