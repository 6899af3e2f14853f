import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { loadConfig } from '../../config.ts'
import { initialiseHub } from '../../init.ts'
import { newHubKeys, publicHubKeys } from '../../trust/hub-keys.ts'
import { createHub } from '../../wiring.ts'
import { firstRoot, firstTargets, signedBytes } from '../ceremony.ts'
import type { Noun, Shell } from '../command.ts'
import { CliError } from '../exit.ts'
import { generateKey, passphraseFrom, unlockKey } from '../keys.ts'

export const hubNoun: Noun = (program, run) => {
  const hub = program.command('hub').description('run a hub on this machine')
  hub
    .command('init')
    .description("make a new hub: its online keys, the publishers' offline keys, and the fleet's first root")
    .requiredOption('--fleet <name>', 'name of the fleet; it cannot change later')
    .option('--state <directory>', 'where the hub keeps everything', 'godwit-hub')
    .option(
      '--keys <directory>',
      "where the offline keys go; move them to the publishers' machine",
      'godwit-keys',
    )
    .option('--passphrase-file <file>', "read the offline keys' passphrase from a file")
    .action(run(init))
  hub
    .command('run')
    .description('run the hub until SIGINT or SIGTERM')
    .option('--config <file>', 'YAML; all keys have defaults but fleet and stateDir')
    .option('--state <directory>', 'instead of stateDir in the file')
    .option('--port <port>', 'HTTP port, instead of http.port')
    .option('--mqtt-port <port>', 'MQTT port, instead of mqtt.port')
    .action(run(serve))
  hub
    .command('check-config')
    .argument('<file>')
    .description('read a configuration and name every mistake in it')
    .action(
      run(async (shell, file: string) => {
        const config = loadConfig(readText(file), shell.environment)
        shell.out.print(config, () => `${file} is fine`)
      }),
    )
}

type InitOptions = { fleet: string; state: string; keys: string; passphraseFile?: string }

async function init(shell: Shell, options: InitOptions): Promise<void> {
  const stateDir = resolve(options.state)
  const rootKeyFile = join(options.keys, 'root.key.json')
  const targetsKeyFile = join(options.keys, 'targets.key.json')
  for (const path of [rootKeyFile, targetsKeyFile]) {
    if (existsSync(path))
      throw new CliError(
        'conflict',
        'key_exists',
        `${path} exists already`,
        'choose another --keys directory; keys are never overwritten',
      )
  }
  const passphrase = await passphraseFrom(options, shell.environment, {
    purpose: 'the offline keys',
    twice: true,
    tty: shell.tty,
  })
  mkdirSync(options.keys, { recursive: true, mode: 0o700 })
  await generateKey(rootKeyFile, passphrase)
  await generateKey(targetsKeyFile, passphrase)
  const [rootKey, targetsKey] = [
    await unlockKey(rootKeyFile, passphrase),
    await unlockKey(targetsKeyFile, passphrase),
  ]
  const hubKeys = newHubKeys()
  const online = publicHubKeys(hubKeys)
  const held = (...keys: { key: typeof rootKey.key }[]) => ({
    keys: keys.map(({ key }) => key),
    threshold: 1,
  })
  const root = signedBytes(
    firstRoot(
      {
        root: held(rootKey),
        targets: held(targetsKey),
        snapshot: held({ key: online.snapshot }),
        timestamp: held({ key: online.timestamp }),
        director: held({ key: online.director }),
      },
      shell.now(),
    ),
    [rootKey],
  )
  const targets = signedBytes(firstTargets(shell.now()), [targetsKey])
  const { adminToken } = await initialiseHub({ stateDir, fleet: options.fleet, root, targets, hubKeys })
  const configFile = join(stateDir, 'hub.yaml')
  writeFileSync(configFile, `fleet: ${options.fleet}\nstateDir: ${stateDir}\n`, { flag: 'wx' })
  shell.contexts.save(options.fleet, { url: 'http://127.0.0.1:8080', token: adminToken })
  const made = {
    fleet: options.fleet,
    stateDir,
    configFile,
    rootKeyFile,
    targetsKeyFile,
    context: options.fleet,
  }
  shell.out.print(made, () =>
    [
      `fleet ${options.fleet}: state in ${stateDir}, configuration ${configFile}`,
      `offline keys: ${rootKeyFile} and ${targetsKeyFile}. Move them off this machine; without them nobody can release a model.`,
      `this machine may administer the hub (context ${options.fleet}).`,
      `Next: godwit hub run --config ${configFile}`,
    ].join('\n'),
  )
}

type RunOptions = { config?: string; state?: string; port?: string; mqttPort?: string }

async function serve(shell: Shell, options: RunOptions): Promise<void> {
  const file = options.config ?? (options.state ? join(options.state, 'hub.yaml') : 'godwit-hub/hub.yaml')
  const flags = {
    ...(options.state ? { stateDir: resolve(options.state) } : {}),
    ...(options.port ? { http: { port: Number(options.port) } } : {}),
    ...(options.mqttPort ? { mqtt: { port: Number(options.mqttPort) } } : {}),
  }
  const config = loadConfig(readText(file), shell.environment, flags)
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
          ...(setupLink ? [`first login, once: ${setupLink}`] : []),
        ].join('\n'),
      )
    }
    await new Promise<void>((done) => {
      if (shell.signal.aborted) done()
      else shell.signal.addEventListener('abort', () => done(), { once: true })
    })
  } finally {
    await hub.stop()
  }
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
