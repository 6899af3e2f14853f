import type { Release } from '@godwit/protocol/release/release'
import type { Noun } from '../command.ts'
import { table } from '../output.ts'
import type { KeyOptions, Listed, PublishOptions } from '../publish.ts'

export const versionNoun: Noun = (program, run) => {
  const version = program.command('version').description('versions of a model')
  version
    .command('publish')
    .description('pack a bundle directory, upload it, sign it as a release')
    .argument(
      '<directory>',
      'holds model.onnx, golden.json, pipeline.json; optionally profile.json, README.md, bundle.yaml',
    )
    .argument('<model@version>', 'what it is published as')
    .requiredOption('--key <file...>', 'key files of publishers, as many as the targets role asks for')
    .option('--note <text>', 'what is new')
    .option('--parent <version>', 'version that this one was made from')
    .option('--passphrase-file <file>', "read the keys' passphrase from a file")
    .action(
      run(async (shell, directory: string, what: string, options: PublishOptions) =>
        (await import('../publish.ts')).publish(shell, directory, what, options),
      ),
    )
  version
    .command('list')
    .argument('<model>')
    .action(
      run(async (shell, model: string) => {
        const found = await shell
          .hub()
          .get<{ versions: Listed[] }>(`/api/v1/models/${encodeURIComponent(model)}`)
        shell.out.print(found.versions, () =>
          table(
            ['VERSION', 'STATE', 'COUNTER', 'DIGEST', 'CREATED'],
            found.versions.map((v) => [
              v.version,
              v.listed ? 'released' : 'uploaded',
              v.releaseCounter,
              v.releaseDigest.slice(0, 12),
              v.createdAt,
            ]),
            `no versions of ${model}`,
          ),
        )
      }),
    )
  version
    .command('show')
    .argument('<model>')
    .argument('<version>')
    .action(
      run(async (shell, model: string, name: string) => {
        const found = await shell
          .hub()
          .get<{ release: Release }>(
            `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(name)}`,
          )
        shell.out.print(found, () => JSON.stringify(found, undefined, 2))
      }),
    )
  version
    .command('revoke')
    .description('stop listing a version: no device may install it from then on')
    .argument('<model>')
    .argument('<version>')
    .requiredOption('--key <file...>', 'key files of publishers')
    .option('--passphrase-file <file>', "read the keys' passphrase from a file")
    .action(
      run(async (shell, model: string, name: string, options: KeyOptions) => {
        const { revoke } = await import('../publish.ts')
        const signed = await revoke(shell, model, name, options)
        shell.out.print(
          { model, version: name, listed: false, targets: signed },
          () => `${model} ${name} is no longer listed (targets ${signed})`,
        )
      }),
    )
}
