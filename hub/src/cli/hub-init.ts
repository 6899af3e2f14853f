import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { initialiseHub } from '../init.ts'
import { newHubKeys, publicHubKeys } from '../trust/hub-keys.ts'
import { firstRoot, firstTargets, signedBytes } from './ceremony.ts'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { generateKey, passphraseFrom } from './keys.ts'

export type InitOptions = { fleet: string; state: string; keys: string; passphraseFile?: string }

export async function init(shell: Shell, options: InitOptions): Promise<void> {
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
  const rootKey = await generateKey(rootKeyFile, passphrase)
  const targetsKey = await generateKey(targetsKeyFile, passphrase)
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
