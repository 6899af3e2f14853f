import type { Noun } from '../command.ts'
import type { VerifyOptions } from '../verify.ts'

export const verifyNoun: Noun = (program, run) => {
  program
    .command('verify')
    .description('is this downloaded release what the publishers signed? Uses no network')
    .argument('<directory>', 'as `godwit version download` writes it')
    .requiredOption('--root <file>', 'root document that you trust, such as 1.root.json')
    .option('--metadata <directory>', 'trust metadata, when it does not lie in <directory>/metadata')
    .option('--at <time>', 'judge expiry as of then, RFC 3339, instead of now')
    .option('--expect <model@version>', 'refuse any other release')
    .action(
      run(async (shell, directory: string, options: VerifyOptions) =>
        (await import('../verify.ts')).verify(shell, directory, options),
      ),
    )
}
