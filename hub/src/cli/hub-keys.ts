import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { resolve } from 'node:path'
import { pathsIn } from '../init.ts'
import { nextKeysPath, rotateHubKeys } from '../trust/hub-key-rotation.ts'
import { type HubKeys, newHubKeys, publicHubKeys, readHubKeys, writeHubKeys } from '../trust/hub-keys.ts'
import type { Shell } from './command.ts'
import { readBytes, writeDocument } from './documents.ts'
import { CliError } from './exit.ts'
import { readConfig } from './hub-run.ts'
import { hubPublicKeysDocument } from './public-keys.ts'

export type HubKeysOptions = { state: string; out: string; rotate?: boolean }

/** The online keys are made on the hub's machine and never leave it; their public halves go to whoever makes the root. */
export async function exportHubKeys(shell: Shell, options: HubKeysOptions): Promise<void> {
  const stateDir = resolve(options.state)
  const { keys: path } = pathsIn(stateDir)
  const isHub = existsSync(path)
  if (options.rotate && !isHub)
    throw new CliError('notFound', 'no_hub_here', `${stateDir} holds no hub whose keys could be rotated`)
  const keys = isHub && !options.rotate ? await readHubKeys(path) : await nextKeys(stateDir)
  const document = hubPublicKeysDocument(publicHubKeys(keys))
  writeDocument(options.out, document)
  shell.out.print(
    { out: options.out, ...document },
    () => `public halves of the hub's online keys written to ${options.out}`,
  )
}

export type RotateKeysOptions = { root: string; config: string }

/** With the hub stopped: it signs with the keys that it read when it started. */
export async function rotateKeys(shell: Shell, options: RotateKeysOptions): Promise<void> {
  const config = readConfig(options.config, shell.environment)
  if (await isAnswered(config.http))
    throw new CliError(
      'conflict',
      'hub_running',
      `something answers on ${config.http.host}:${config.http.port}; expected the hub to be stopped`,
      'stop it first: a running hub would go on signing with the old keys',
    )
  const done = await rotateHubKeys(config, readBytes(options.root), shell.now)
  if (!done.trusted) throw new CliError('verification', 'root_refused', done.detail)
  const { version, directives } = done.value
  shell.out.print(
    done.value,
    () =>
      `the hub's keys are those of root ${version}; ${directives} directives were signed again. Start it.`,
  )
}

function isAnswered({ host, port }: { host: string; port: number }): Promise<boolean> {
  if (port === 0) return Promise.resolve(false)
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (answer: boolean) => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', end(true)).once('error', end(false)).setTimeout(2_000, end(false))
  })
}

async function nextKeys(stateDir: string): Promise<HubKeys> {
  const path = nextKeysPath(stateDir)
  // Asked twice, the same keys: a root may be on its way that names them.
  if (existsSync(path)) return readHubKeys(path)
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const keys = newHubKeys()
  await writeHubKeys(path, keys)
  return keys
}
