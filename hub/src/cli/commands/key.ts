import { join } from 'node:path'
import type { Noun } from '../command.ts'
import { CliError } from '../exit.ts'

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
    .command('import')
    .description('seal a key made elsewhere')
    .argument('<name>', 'file name without its ending')
    .requiredOption('--from <file>', '32 bytes, 64 hex digits, or PEM PKCS #8 Ed25519; - is standard input')
    .option('--keys <directory>', 'where key files live', 'godwit-keys')
    .option('--passphrase-file <file>', 'read the passphrase from a file')
    .action(
      run(async (shell, name: string, options: { from: string; keys: string; passphraseFile?: string }) => {
        const { passphraseFrom, storeKey } = await import('../keys.ts')
        const { readSeed } = await import('../import-key.ts')
        const seed = readSeed(options.from)
        const passphrase = await passphraseFrom(options, shell.environment, {
          purpose: `key ${name}`,
          twice: true,
          tty: shell.tty && options.from !== '-',
        })
        const path = join(options.keys, `${name}.key.json`)
        const made = await storeKey(path, seed, passphrase)
        seed.fill(0)
        shell.out.print(
          { path, keyid: made.keyid, public: made.key.keyval.public },
          () => `${path}\nkey id ${made.keyid}\nDestroy ${options.from} where it came from.`,
        )
      }),
    )
  key
    .command('public')
    .description('the public half, as JSON, for whoever makes the root')
    .argument('[file]', 'a key file')
    .option('--signer-cmd <command>', 'a program that signs, instead of a file')
    .action(
      run(async (shell, file: string | undefined, options: { signerCmd?: string }) => {
        const { publicKeyDocument, readPublicKey } = await import('../public-keys.ts')
        const { commandSigner } = await import('../signer-command.ts')
        if ((file === undefined) === (options.signerCmd === undefined))
          throw new CliError('usage', 'key_missing', 'expected one key: FILE, or --signer-cmd CMD')
        const key =
          file === undefined ? (await commandSigner(shell, options.signerCmd!)).key : readPublicKey(file)
        const document = publicKeyDocument(key)
        shell.out.print(document, () => JSON.stringify(document, undefined, 2))
      }),
    )
  key
    .command('list')
    .description('the keys on this machine')
    .option('--keys <directory>', 'where key files live', 'godwit-keys')
    .action(
      run(async (shell, options: { keys: string }) => {
        const { keyFilesIn, loadKeyFile } = await import('../keys.ts')
        const all = keyFilesIn(options.keys).map((path) => {
          const { keyid, public: publicKey } = loadKeyFile(path)
          return { path, keyid, public: publicKey }
        })
        shell.out.list(all, ['FILE', 'KEY ID'], (k) => [k.path, k.keyid], `no keys in ${options.keys}`)
      }),
    )
}
