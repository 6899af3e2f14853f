import { join } from 'node:path'
import type { Noun } from '../command.ts'
import { table } from '../output.ts'

export const keyNoun: Noun = (program, run) => {
  const key = program.command('key').description('signing keys, made and kept offline')
  key
    .command('generate')
    .description('make an Ed25519 key, encrypted with a passphrase')
    .argument('<name>', 'file name without its ending, such as publisher-ana')
    .option('--keys <directory>', 'where key files live', 'godwit-keys')
    .option('--passphrase-file <file>', 'read the passphrase from a file')
    .action(
      run(async (shell, name: string, options: { keys: string; passphraseFile?: string }) => {
        const { generateKey, passphraseFrom } = await import('../keys.ts')
        const passphrase = await passphraseFrom(options, shell.environment, {
          purpose: `key ${name}`,
          twice: true,
          tty: shell.tty,
        })
        const path = join(options.keys, `${name}.key.json`)
        const made = await generateKey(path, passphrase)
        shell.out.print(
          { path, keyid: made.keyid, public: made.key.keyval.public },
          () => `${path}\nkey id ${made.keyid}`,
        )
      }),
    )
  key
    .command('list')
    .option('--keys <directory>', 'where key files live', 'godwit-keys')
    .action(
      run(async (shell, options: { keys: string }) => {
        const { keyFilesIn, loadKeyFile } = await import('../keys.ts')
        const all = keyFilesIn(options.keys).map((path) => {
          const { keyid, public: publicKey } = loadKeyFile(path)
          return { path, keyid, public: publicKey }
        })
        shell.out.print(all, () =>
          table(
            ['FILE', 'KEY ID'],
            all.map((k) => [k.path, k.keyid]),
            `no keys in ${options.keys}`,
          ),
        )
      }),
    )
}
