// Installs and builds what is missing, so that `npm start` and `npm test` work on a fresh clone. Runs on any Node from
// 20.19 on; everything it starts runs on the Node 24 that the lockfile brings.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const modules = join(root, 'node_modules')
const stamps = join(modules, '.godwit')
const node24 = join(modules, '.bin', 'node')

export function prepare() {
  installIfStale()
  buildIfStale()
}

/** Runs a program of ours on the locked Node; this process lives as long as that one and ends as it did. */
export function become(args) {
  const env = { ...process.env, PATH: `${join(modules, '.bin')}:${process.env.PATH ?? ''}` }
  const child = spawn(nodeBinary(), args, { stdio: 'inherit', env, cwd: root })
  // A terminal tells the whole group, a supervisor only us: the child hears it in either case and tidies up.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => fail(`cannot start ${nodeBinary()}: ${error.message}`))
  child.once('exit', (code, signal) => process.exit(code ?? (signal ? 130 : 1)))
}

function nodeBinary() {
  if (existsSync(node24)) return node24
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath
  fail(`Godwit runs on Node 24. The lockfile brings it for Linux on x64 and arm64; on ${process.platform}-${process.arch}
please run this with Node 24 or newer (this is ${process.version}).`)
}

function installIfStale() {
  const lock = digest(readFileSync(join(root, 'package-lock.json')))
  if (readStamp('installed') === lock) return
  say('installing dependencies (npm ci)')
  // npm 10 does not read allowScripts; the variable keeps onnxruntime-node from downloading GPU libraries there.
  run('npm', ['ci', '--no-audit', '--no-fund'], { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' })
  writeStamp('installed', lock)
}

function buildIfStale() {
  const sources = digest(Buffer.from(fingerprint().join('\n')))
  if (readStamp('built') === sources) return
  say('building')
  run(nodeBinary(), [join(modules, 'typescript', 'bin', 'tsc'), '-b'])
  if (existsSync(join(root, 'hub', 'dashboard', 'vite.config.ts'))) {
    run(nodeBinary(), [
      join(modules, 'vite', 'bin', 'vite.js'),
      'build',
      '--logLevel',
      'warn',
      join(root, 'hub', 'dashboard'),
    ])
  }
  writeStamp('built', sources)
}

/** Path, size and time of every source file: cheap to compute, and an edit of any kind changes it. */
function fingerprint() {
  const found = []
  const walk = (directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (['node_modules', 'dist', '.git'].includes(entry.name)) continue
      const path = join(directory, entry.name)
      if (entry.isDirectory()) walk(path)
      else if (/\.(tsx?|json|css|html|svg)$/.test(entry.name)) {
        const { size, mtimeMs } = statSync(path)
        found.push(`${path} ${size} ${mtimeMs}`)
      }
    }
  }
  for (const top of ['protocol', 'hub', 'agent', 'firmware-samples', 'test']) walk(join(root, top))
  for (const top of ['protocol', 'hub', 'agent', 'firmware-samples/sensor-fleet']) {
    found.push(`${top} ${existsSync(join(root, top, 'dist'))}`)
  }
  return found.sort()
}

function run(command, args, env = process.env) {
  const outcome = spawnSync(command, args, { stdio: ['ignore', 2, 2], cwd: root, env })
  if (outcome.error) fail(`cannot start ${command}: ${outcome.error.message}`)
  if (outcome.status !== 0)
    fail(`${command} ${args.join(' ')} ended with ${outcome.status ?? outcome.signal}`)
}

function readStamp(name) {
  try {
    return readFileSync(join(stamps, name), 'utf8')
  } catch {
    return undefined
  }
}

function writeStamp(name, text) {
  mkdirSync(stamps, { recursive: true })
  writeFileSync(join(stamps, name), text)
}

function digest(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}

function say(text) {
  process.stderr.write(`godwit: ${text}\n`)
}

function fail(text) {
  say(text)
  process.exit(1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare()
