import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { initialiseHub } from '../init.ts'
import { nextKeysPath } from '../trust/hub-key-rotation.ts'
import { type HubKeys, newHubKeys, publicHubKeys, readHubKeys } from '../trust/hub-keys.ts'
import { firstRoot, firstTargets } from './ceremony.ts'
import type { Shell } from './command.ts'
import { readBytes } from './documents.ts'
import { CliError } from './exit.ts'
import { generateKey, passphraseFrom } from './keys.ts'
import { fileSigner, signedBytes } from './signers.ts'

export type InitOptions = {
  fleet: string
  state: string
  keys: string
  passphraseFile?: string
  root?: string
  targets?: string
}
/** What a hub begins with, and what to say about where it came from. */
type Beginning = { root: Uint8Array; targets: Uint8Array; hubKeys: HubKeys; files: object; words: string }

export async function init(shell: Shell, options: InitOptions): Promise<void> {
  const { fleet, root, targets } = options
  const stateDir = resolve(options.state)
  if ((root === undefined) !== (targets === undefined))
    throw new CliError('usage', 'ceremony_incomplete', '--root and --targets go together')
  const beginning =
    root !== undefined && targets !== undefined
      ? await fromCeremony(stateDir, root, targets)
      : await fromNothing(shell, options)
  const { adminToken } = await initialiseHub({ stateDir, fleet, ...beginning })
  rmSync(nextKeysPath(stateDir), { force: true })
  const configFile = join(stateDir, 'hub.yaml')
  writeFileSync(configFile, `fleet: ${fleet}\nstateDir: ${stateDir}\n`, { flag: 'wx' })
  shell.contexts.save(fleet, {
    url: 'http://127.0.0.1:8080',
    token: adminToken,
    root: Buffer.from(beginning.root).toString('base64'),
  })
  const made = { fleet, stateDir, configFile, ...beginning.files, context: fleet }
  shell.out.print(made, () =>
    [
      `fleet ${fleet}: state in ${stateDir}, configuration ${configFile}`,
      beginning.words,
      `this machine may administer the hub (context ${fleet}).`,
      `Next: godwit hub run --config ${configFile}`,
    ].join('\n'),
  )
}

/** Root and targets were signed elsewhere, around keys that `godwit hub keys` made here. */
async function fromCeremony(stateDir: string, root: string, targets: string): Promise<Beginning> {
  const path = nextKeysPath(stateDir)
  if (!existsSync(path))
    throw new CliError(
      'notFound',
      'hub_keys_missing',
      `expected the hub's keys at ${path}`,
      `they come first: godwit hub keys --state ${stateDir} --out hub-public.json, then the root that names them`,
    )
  return {
    root: readBytes(root),
    targets: readBytes(targets),
    hubKeys: await readHubKeys(path),
    files: {},
    words: `root from ${root}, targets from ${targets}; their keys were never here.`,
  }
}

/** One root key and one targets key, made here: enough to begin with. */
async function fromNothing(shell: Shell, options: InitOptions): Promise<Beginning> {
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
  const heldBy = (key: typeof rootKey.key) => ({ keys: [key], threshold: 1 })
  const root = firstRoot(
    {
      root: heldBy(rootKey.key),
      targets: heldBy(targetsKey.key),
      snapshot: heldBy(online.snapshot),
      timestamp: heldBy(online.timestamp),
      director: heldBy(online.director),
    },
    shell.now(),
  )
  return {
    root: await signedBytes(root, [fileSigner(rootKey)]),
    targets: await signedBytes(firstTargets(shell.now()), [fileSigner(targetsKey)]),
    hubKeys,
    files: { rootKeyFile, targetsKeyFile },
    words: `offline keys: ${rootKeyFile} and ${targetsKeyFile}. Move them off this machine; without them nobody can release a model.`,
  }
}
