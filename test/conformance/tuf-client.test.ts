import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dateOf, dayMs, TufRepository } from '../support/tuf-repository.ts'

const executable = join(dirname(fileURLToPath(import.meta.url)), 'tuf-client')

let repository: TufRepository
let artifacts: Map<string, string>
let asked: string[]
/** A malicious mirror takes over the answer by saying true. */
let interfere: (path: string, response: ServerResponse) => boolean
let server: Server
let url: string
let home: string

beforeEach(async () => {
  repository = new TufRepository()
  // The client reads the process clock, so this repository must live in the real present.
  const expires = dateOf(Date.now() + dayMs)
  const { root, timestamp, snapshot, targets } = repository
  for (const document of [root, timestamp, snapshot, ...targets.values()]) document.expires = expires
  artifacts = new Map()
  asked = []
  interfere = () => false
  addTarget('models/gauge.onnx', 'a model')
  repository.publishAll()

  server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '')
    asked.push(path)
    if (interfere(path, response)) return
    const bytes = repository.files.get(path.replace('/metadata/', '')) ?? artifacts.get(path)
    response.writeHead(bytes === undefined ? 404 : 200).end(bytes)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  home = await mkdtemp(join(tmpdir(), 'tuf-client-'))
  await mkdir(join(home, 'metadata'))
  await mkdir(join(home, 'targets'))
  await writeFile(join(home, 'root-1.json'), repository.files.get('1.root.json')!)
})

afterEach(async () => {
  server.closeAllConnections()
  await new Promise((closed) => server.close(closed))
  await rm(home, { recursive: true })
})

function addTarget(path: string, content: string): void {
  repository.addTarget('targets', path, content)
  const hash = repository.targets.get('targets')!.targets[path]!.hashes['sha256']
  const slash = path.lastIndexOf('/') + 1
  artifacts.set(`/targets/${path.slice(0, slash)}${hash}.${path.slice(slash)}`, content)
}

function run(...args: string[]): Promise<{ code: number; said: string }> {
  asked = []
  return new Promise((done) => {
    execFile(executable, ['--metadata-dir', join(home, 'metadata'), ...args], (error, _, said) =>
      done({ code: error ? Number(error.code) : 0, said }),
    )
  })
}

const init = () => run('init', join(home, 'root-1.json'))
const refresh = () => run('--metadata-url', `${url}/metadata`, 'refresh')
const download = (...paths: string[]) =>
  run(
    ...['--metadata-url', `${url}/metadata`, ...paths.flatMap((path) => ['--target-name', path])],
    ...['--target-base-url', `${url}/targets/`, '--target-dir', join(home, 'targets'), 'download'],
  )

const downloaded = () => readdir(join(home, 'targets'))
const versionOf = async (role: string): Promise<number> =>
  JSON.parse(await readFile(join(home, 'metadata', `${role}.json`), 'utf8')).signed.version

describe('the command line that a TUF conformance suite drives', () => {
  test('init keeps the trusted root as it is and asks the repository for nothing', async () => {
    expect(await init()).toMatchObject({ code: 0 })
    expect(await readdir(join(home, 'metadata'))).toEqual(['root.json'])
    const kept = await readFile(join(home, 'metadata', 'root.json'))
    expect(kept.equals(repository.files.get('1.root.json')!)).toBe(true)
    expect(asked).toEqual([])
  })

  test('refresh follows the root chain and keeps what it verified, under names without versions', async () => {
    await init()
    expect(await refresh()).toMatchObject({ code: 0 })
    const names = ['root.json', 'snapshot.json', 'targets.json', 'timestamp.json']
    expect((await readdir(join(home, 'metadata'))).sort()).toEqual(names)
    expect(await versionOf('root')).toBe(2)
    const inOrder = ['2.root.json', '3.root.json', 'timestamp.json', '2.snapshot.json', '2.targets.json']
    expect(asked).toEqual(inOrder.map((name) => `/metadata/${name}`))
  })

  test('refuses a rollback with exit code 1 and keeps the newer timestamp', async () => {
    await init()
    const older = repository.files.get('timestamp.json')!
    repository.publish()
    expect(await refresh()).toMatchObject({ code: 0 })
    repository.files.set('timestamp.json', older)
    const refused = await refresh()
    expect(refused.code).toBe(1)
    expect(refused.said).toContain('refused, rollback: timestamp: expected at least version 3, found 2')
    expect(await versionOf('timestamp')).toBe(3)
  })

  test('refuses a frozen repository by the clock of the process', async () => {
    await init()
    repository.timestamp.expires = dateOf(Date.now() - dayMs)
    repository.publish()
    const refused = await refresh()
    expect(refused.code).toBe(1)
    expect(refused.said).toContain('refused, expired')
    expect(await readdir(join(home, 'metadata'))).toEqual(['root.json'])
  })

  test('stops reading a timestamp that never ends', async () => {
    await init()
    interfere = (path, response) => {
      if (!path.endsWith('timestamp.json')) return false
      const pour = () => {
        while (response.write(' '.repeat(65_536)));
      }
      response.on('drain', pour)
      pour()
      return true
    }
    const refused = await refresh()
    expect(refused.code).toBe(1)
    expect(refused.said).toContain('refused, length-exceeded')
  })

  test('download brings a target once', async () => {
    await init()
    expect(await download('models/gauge.onnx')).toMatchObject({ code: 0 })
    const [name] = await downloaded()
    expect(await readFile(join(home, 'targets', name!), 'utf8')).toBe('a model')
    expect(asked.filter((path) => path.startsWith('/targets/'))).toHaveLength(1)

    expect(await download('models/gauge.onnx')).toMatchObject({ code: 0 })
    expect(asked.filter((path) => path.startsWith('/targets/'))).toEqual([])
  })

  test('download takes several targets in order and stops at the first that fails', async () => {
    await init()
    addTarget('second', '2')
    repository.publish()
    const refused = await download('models/gauge.onnx', 'nobody lists this', 'second')
    expect(refused.code).toBe(1)
    expect(refused.said).toContain('refused, not-listed')
    expect(await downloaded()).toHaveLength(1)
  })

  test('download refuses a target that the mirror changed and keeps nothing of it', async () => {
    await init()
    for (const place of artifacts.keys()) artifacts.set(place, 'b model')
    const refused = await download('models/gauge.onnx')
    expect(refused.code).toBe(1)
    expect(refused.said).toContain('refused, hash-mismatch')
    expect(await downloaded()).toEqual([])
  })

  test('a target path that climbs stays in the target directory', async () => {
    await init()
    const path = '../metadata/root.json'
    addTarget(path, 'not a root')
    repository.publish()
    // The dots are resolved on the way to the server; the bytes are there all the same.
    for (const [place, content] of artifacts) artifacts.set(place.replace('/targets/..', ''), content)
    expect(await download(path)).toMatchObject({ code: 0 })
    expect(await downloaded()).toEqual(['%2E.%2Fmetadata%2Froot.json'])
    expect(await versionOf('root')).toBe(2)
  })

  test('a source that fails and a missing option end with exit code 1 and say why', async () => {
    await init()
    interfere = (_, response) => {
      response.writeHead(503).end()
      return true
    }
    const failed = await refresh()
    expect(failed.code).toBe(1)
    expect(failed.said).toContain('expected status 200, found 503')
    const incomplete = await run('refresh')
    expect(incomplete.code).toBe(1)
    expect(incomplete.said).toContain('expected the option --metadata-url')
  })
})
