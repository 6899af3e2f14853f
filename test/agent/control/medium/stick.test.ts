import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readStick } from '@godwit/agent/control/medium/stick'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const blob = 'ab'.repeat(32)
let stick: string

beforeEach(() => {
  stick = mkdtempSync(join(tmpdir(), 'godwit-stick-'))
  for (const name of ['metadata', 'directives', 'blobs/sha256'])
    mkdirSync(join(stick, name), { recursive: true })
  writeFileSync(join(stick, 'godwit-medium.json'), '{}')
  writeFileSync(join(stick, 'metadata', '1.root.json'), '{}')
  writeFileSync(join(stick, 'metadata', 'timestamp.json'), '{}')
  writeFileSync(join(stick, 'directives', 'd1.json'), '{}')
  writeFileSync(join(stick, 'blobs', 'sha256', blob), 'x')
})
afterEach(() => rmSync(stick, { recursive: true, force: true }))

const at = (...names: string[]) => join(stick, ...names)
const refusal = () => {
  try {
    readStick(stick, 'd1')
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`
  }
  return 'taken'
}

describe('a stick', () => {
  test('is read by name: metadata, the directive of this device, and which blobs there are', () => {
    const read = readStick(stick, 'd1')
    expect([...read.metadata.keys()].sort()).toEqual(['1.root.json', 'timestamp.json'])
    expect(read.directive?.toString()).toBe('{}')
    expect([...read.blobs]).toEqual([blob])
    expect(readStick(stick, 'd2').directive).toBeUndefined()
  })

  test('that is not there is refused', () => {
    expect(() => readStick(at('nowhere'), 'd1')).toThrow(/cannot read the directory/)
  })

  test.each([
    [
      'a link in the place of a blob',
      () => symlinkSync('/etc/passwd', at('blobs', 'sha256', 'cd'.repeat(32))),
      'is a symbolic link, expected a file',
    ],
    [
      'a link in the place of a directory',
      () => {
        rmSync(at('metadata'), { recursive: true })
        symlinkSync('/etc', at('metadata'))
      },
      'metadata is a symbolic link, expected a directory',
    ],
    [
      'a link in the place of metadata',
      () => symlinkSync('/etc/shadow', at('metadata', '2.root.json')),
      'metadata/2.root.json is a symbolic link',
    ],
    [
      'a FIFO',
      () => execFileSync('mkfifo', [at('metadata', '9.snapshot.json')]),
      'metadata/9.snapshot.json is a FIFO, expected a file',
    ],
    [
      'a directory where a file belongs',
      () => mkdirSync(at('directives', 'd2.json')),
      'is a directory, expected a file',
    ],
    [
      'a name that is none of ours',
      () => writeFileSync(at('autorun.inf'), ''),
      'autorun.inf does not belong on a stick of this kind',
    ],
    [
      'a name among the blobs that is no digest',
      () => writeFileSync(at('blobs', 'sha256', 'model.onnx'), ''),
      'blobs/sha256/model.onnx does not belong',
    ],
    [
      'a name that would lead elsewhere',
      () => writeFileSync(at('metadata', '1...json'), ''),
      'metadata/1...json does not belong',
    ],
    [
      'a timestamp of a gigabyte',
      () => truncateSync(at('metadata', 'timestamp.json'), 2 ** 30),
      'timestamp.json has 1073741824 bytes, at most 16384 expected',
    ],
    [
      'a directive of a gigabyte',
      () => truncateSync(at('directives', 'd1.json'), 2 ** 30),
      'd1.json has 1073741824 bytes, at most 65536 expected',
    ],
  ])('with %s is refused by name', (_what, spoil, expected) => {
    spoil()
    expect(refusal()).toContain(expected)
    expect(refusal()).toMatch(/^medium-refused: /)
  })

  test('with a socket is refused by name', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(at('directives', 's.json'), resolve))
    expect(refusal()).toContain('directives/s.json is a socket, expected a file')
    await new Promise((resolve) => server.close(resolve))
  })
})
