import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import { type HubConfig, loadConfig } from '../config.ts'
import { pathsIn } from '../init.ts'
import { createHub } from '../wiring.ts'
import type { Shell } from './command.ts'
import type { Environment } from './context.ts'
import { CliError } from './exit.ts'

export type RunOptions = { config?: string; state?: string; port?: number; mqttPort?: number }

export async function serve(shell: Shell, options: RunOptions): Promise<void> {
  const file = options.config ?? (options.state ? join(options.state, 'hub.yaml') : 'godwit-hub/hub.yaml')
  const flags = {
    ...(options.state ? { stateDir: resolve(options.state) } : {}),
    ...(options.port !== undefined && { http: { port: options.port } }),
    ...(options.mqttPort !== undefined && { mqtt: { port: options.mqttPort } }),
  }
  const config = readConfig(file, shell.environment, flags)
  checkInitialised(config)
  const hub = await createHub(config)
  await hub.start()
  try {
    const { httpUrl, mqttUrl, setupLink } = hub.addresses
    const ready = {
      ready: true,
      fleet: config.fleet,
      http: httpUrl,
      mqtt: mqttUrl,
      ...(setupLink ? { setupLink } : {}),
    }
    // One line, so that a program that started the hub can wait for it.
    if (shell.out.json) process.stdout.write(`${JSON.stringify(ready)}\n`)
    else {
      shell.out.print(ready, () =>
        [
          `dashboard ${httpUrl}`,
          `mqtt      ${mqttUrl}`,
          ...(setupLink
            ? [
                `first login, once, within ${Math.ceil(config.access.loginLinkMs / 60_000)} minutes: ${setupLink}`,
                `another link: godwit dashboard, or start the hub again while it has no administrator`,
              ]
            : []),
        ].join('\n'),
      )
    }
    // The usual word for "your files have changed"; without a listener it would end the hub.
    process.on('SIGHUP', () => void hub.services.certificates?.reload())
    await new Promise<void>((done) => {
      if (shell.signal.aborted) done()
      else shell.signal.addEventListener('abort', () => done(), { once: true })
    })
  } finally {
    await hub.stop()
  }
}

/** Before anything opens a file in there: the first one missing would be named instead of what is missing. */
function checkInitialised({ stateDir, fleet }: HubConfig): void {
  const { keys, database } = pathsIn(stateDir)
  if (existsSync(keys) || existsSync(database)) return
  throw new CliError(
    'notFound',
    'not_initialised',
    `${stateDir} holds no hub`,
    `godwit hub init --fleet ${fleet} --state ${stateDir}`,
  )
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new CliError(
      'notFound',
      'config_missing',
      `cannot read ${path}: ${(cause as Error).message}`,
      'godwit hub init --fleet NAME makes a hub',
    )
  }
}

export function readConfig(
  file: string,
  environment: Environment,
  flags: Record<string, unknown> = {},
): HubConfig {
  const text = readText(file)
  try {
    return loadConfig(text, environment, flags)
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause
    throw new Fault(cause.code, `${file}: ${cause.message}`, { cause })
  }
}
