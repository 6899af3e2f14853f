import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { foreignKeys } from '@godwit/protocol/crypto/foreign-keys'
import { Fault } from '@godwit/protocol/fault'
import { TrustClient } from '@godwit/protocol/trust/client'
import { type Carrier, runFindTarget, runRefresh } from '@godwit/protocol/trust/refresh'
import { accept, type Verdict } from '@godwit/protocol/trust/refusal'
import { ArtifactDirectory } from './artifact-directory.ts'
import { get } from './http-get.ts'
import { MetadataDirectory } from './metadata-directory.ts'

const options = {
  'metadata-dir': { type: 'string' },
  'metadata-url': { type: 'string' },
  'target-name': { type: 'string', multiple: true },
  'target-base-url': { type: 'string' },
  'target-dir': { type: 'string' },
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

/** The client command line of tuf-conformance (CLIENT-CLI.md): what was done, or why nothing was trusted. */
async function main(args: string[], now: number): Promise<Verdict<string>> {
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  const [command, rootPath] = positionals
  const metadata = new MetadataDirectory(required(values, 'metadata-dir'))
  switch (command) {
    case 'init':
      return init(metadata, rootPath)
    case 'refresh': {
      const refreshed = await refresh(metadata, required(values, 'metadata-url'), now)
      return refreshed.trusted ? accept('metadata is up to date') : refreshed
    }
    case 'download':
      return download(metadata, values, now)
    default:
      throw new Fault('usage', `expected init, refresh or download, found ${command ?? 'no command'}`)
  }
}

/** Trusted because the caller says so; the first refresh checks that it is whole. */
async function init(metadata: MetadataDirectory, rootPath: string | undefined): Promise<Verdict<string>> {
  if (!rootPath) throw new Fault('usage', 'init needs the path of the trusted root')
  await metadata.store({ fileName: 'root.json', bytes: await readFile(rootPath) })
  return accept(`${rootPath} is the trusted root`)
}

type Session = { client: TrustClient; carrier: Carrier }

async function refresh(metadata: MetadataDirectory, url: string, now: number): Promise<Verdict<Session>> {
  // The suite's simulator signs with ECDSA; a fleet of ours would take Ed25519 alone.
  const opened = TrustClient.open(await metadata.read(), foreignKeys)
  if (!opened.trusted) return opened
  const carrier: Carrier = {
    fetch: ({ fileName, bytesMax }) => get(url, fileName, bytesMax),
    store: (change) => metadata.store(change),
    delete: (change) => metadata.delete(change),
  }
  const refreshed = await runRefresh(opened.value, now, carrier)
  return refreshed.trusted ? accept({ client: opened.value, carrier }) : refreshed
}

/** In argument order, with one client; the first target that fails ends the command. */
async function download(metadata: MetadataDirectory, values: Values, now: number): Promise<Verdict<string>> {
  const paths = required(values, 'target-name')
  const baseUrl = required(values, 'target-base-url')
  const artifacts = new ArtifactDirectory(required(values, 'target-dir'))
  const refreshed = await refresh(metadata, required(values, 'metadata-url'), now)
  if (!refreshed.trusted) return refreshed
  const { client, carrier } = refreshed.value
  for (const path of paths) {
    const found = await runFindTarget(client, path, carrier)
    if (!found.trusted) return found
    const taken = await artifacts.take(found.value, baseUrl, client.root.consistent_snapshot === true)
    if (!taken.trusted) return taken
  }
  return accept(`${paths.length} targets are there`)
}

function required<K extends keyof Values>(values: Values, name: K): NonNullable<Values[K]> {
  const value = values[name]
  if (value === undefined) throw new Fault('usage', `expected the option --${name}`)
  return value
}

/** "Exit code 1 if any part failed", whether refused or broken; stderr tells them apart. */
try {
  const outcome = await main(process.argv.slice(2), Date.now())
  const line = outcome.trusted ? outcome.value : `refused, ${outcome.because}: ${outcome.detail}`
  process.stderr.write(`tuf-client: ${line}\n`)
  process.exitCode = outcome.trusted ? 0 : 1
} catch (error) {
  process.stderr.write(`tuf-client: ${error instanceof Fault ? error.message : (error as Error).stack}\n`)
  process.exitCode = 1
}
