import type { Noun } from '../command.ts'
import type { InitOptions } from '../hub-init.ts'
import type { HubKeysOptions, RotateKeysOptions } from '../hub-keys.ts'
import type { RunOptions } from '../hub-run.ts'
import { wholeNumberFrom } from '../number.ts'
import { hubCaNoun } from './hub-ca.ts'

/** What these commands do is loaded when they run: no other command has to wait for a broker and a web server. */
const port = wholeNumberFrom(0, 65_535)

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
    .option('--root <file>', 'a root signed elsewhere, around the keys of godwit hub keys')
    .option('--targets <file>', 'the first targets, signed elsewhere')
    .option('--passphrase-file <file>', "read the offline keys' passphrase from a file")
    .action(run(async (shell, options: InitOptions) => (await import('../hub-init.ts')).init(shell, options)))
  hub
    .command('keys')
    .description(
      "make the hub's online keys, or find them; writes their public halves for whoever makes the root",
    )
    .option('--state <directory>', 'where the hub keeps everything', 'godwit-hub')
    .option('--rotate', 'make keys that take over with the next root')
    .option('--out <file>', 'where the public halves go', 'hub-public.json')
    .action(
      run(async (shell, options: HubKeysOptions) =>
        (await import('../hub-keys.ts')).exportHubKeys(shell, options),
      ),
    )
  hub
    .command('rotate-keys')
    .description(
      'take over the keys of godwit hub keys --rotate, with the root that names them; the hub is stopped',
    )
    .requiredOption('--root <file>', 'the next root, signed')
    .option('--config <file>', "the hub's configuration", 'godwit-hub/hub.yaml')
    .action(
      run(async (shell, options: RotateKeysOptions) =>
        (await import('../hub-keys.ts')).rotateKeys(shell, options),
      ),
    )
  hub
    .command('run')
    .description('run the hub until SIGINT or SIGTERM')
    .option('--config <file>', 'YAML; all keys have defaults but fleet and stateDir')
    .option('--state <directory>', 'instead of stateDir in the file')
    .option('--port <port>', 'HTTP port, instead of http.port', port)
    .option('--mqtt-port <port>', 'MQTT port, instead of mqtt.port', port)
    .action(run(async (shell, options: RunOptions) => (await import('../hub-run.ts')).serve(shell, options)))
  hubCaNoun(hub, run)
  hub
    .command('check-config')
    .argument('<file>')
    .description('read a configuration and name every mistake in it')
    .action(
      run(async (shell, file: string) => {
        const { readConfig } = await import('../hub-run.ts')
        const config = readConfig(file, shell.environment)
        shell.out.print(config, () => `${file} is fine`)
      }),
    )
}
