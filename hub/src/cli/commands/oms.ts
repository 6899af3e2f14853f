import type { Noun } from '../command.ts'
import type { OmsSignOptions, OmsVerifyOptions } from '../oms.ts'

export const omsNoun: Noun = (program, run) => {
  const oms = program
    .command('oms')
    .description('OpenSSF Model Signing, for model_signing and cosign to check')
  oms
    .command('key')
    .description('make an EC P-256 key, encrypted with a passphrase, and its public half beside it')
    .requiredOption('--out <file>', 'such as model-signing.pem')
    .option('--passphrase-file <file>', 'read the passphrase from a file')
    .action(
      run(async (shell, options: { out: string; passphraseFile?: string }) =>
        (await import('../oms.ts')).makeKey(shell, options),
      ),
    )
  oms
    .command('sign')
    .description('sign the files of a model in the OpenSSF format')
    .argument('<model>', 'a directory, or one file')
    .requiredOption('--key <file>', 'EC private key in PEM')
    .option('--out <file>', 'the signature; <model>.sig when not given')
    .option('--ignore <path...>', 'paths from the top of the model that are not signed')
    .option('--passphrase-file <file>', "read the key's passphrase from a file")
    .action(
      run(async (shell, model: string, options: OmsSignOptions) =>
        (await import('../oms.ts')).sign(shell, model, options),
      ),
    )
  oms
    .command('attach')
    .description('keep a signature beside a version at the hub, for whoever downloads it')
    .argument('<model@version>')
    .requiredOption('--signature <file>')
    .action(
      run(async (shell, what: string, options: { signature: string }) =>
        (await import('../oms.ts')).attach(shell, what, options),
      ),
    )
  oms
    .command('verify')
    .description('check an OpenSSF model signature, offline')
    .argument('<model>', 'a directory, or one file')
    .requiredOption('--key <file...>', 'EC public keys in PEM that you trust')
    .requiredOption('--signature <file>')
    .option('--ignore <path...>', 'paths from the top of the model that need no signature')
    .option('--ignore-unsigned-files', 'accept files that were not signed')
    .action(
      run(async (shell, model: string, options: OmsVerifyOptions) =>
        (await import('../oms.ts')).verify(shell, model, options),
      ),
    )
}
