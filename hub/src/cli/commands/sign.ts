import type { Noun } from '../command.ts'
import { signerOptions } from '../signer-options.ts'
import type { SignOptions } from '../signing.ts'

export const signNoun: Noun = (program, run) => {
  signerOptions(program.command('sign'))
    .description('sign a root or targets document made elsewhere, offline; says first what it is')
    .argument('<file>', 'the document, unsigned or signed by some')
    .option('--previous <file>', 'the document that it replaces, to see what changes')
    .requiredOption('--out <file>', 'where the signature goes')
    .action(
      run(async (shell, file: string, options: SignOptions) =>
        (await import('../signing.ts')).signFile(shell, file, options),
      ),
    )
}
