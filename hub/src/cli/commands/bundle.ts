import type { ExportOptions } from '../bundle-export.ts'
import type { Noun } from '../command.ts'

export const bundleNoun: Noun = (program, run) => {
  const bundle = program.command('bundle').description('releases on a stick, for devices without a link')
  bundle
    .command('export')
    .description(
      'write a release with its trust metadata and the directives of devices, for `godwit-agent import`',
    )
    .argument('<model@version>')
    .requiredOption('--out <directory>', 'made if it is not there; a release that it holds already is kept')
    .option('--device <id...>', 'devices whose signed directives go with it')
    .option('--valid-days <days>', 'how long devices may take it, as far as the hub allows', '7')
    .action(
      run(async (shell, what: string, options: ExportOptions) =>
        (await import('../bundle-export.ts')).exportBundle(shell, what, options),
      ),
    )
}
