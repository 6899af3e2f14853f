import type { Release } from '@godwit/protocol/release/release'
import type { Noun } from '../command.ts'
import { wholeNumberFrom } from '../number.ts'
import type { Listed, PublishOptions, ReleaseOptions } from '../publish.ts'
import { releaseOptions } from '../signer-options.ts'
import { versionOf } from '../version-name.ts'

export const versionNoun: Noun = (program, run) => {
  const version = program.command('version').description('versions of a model')
  releaseOptions(version.command('publish'))
    .description('pack a bundle directory, upload it, sign it as a release')
    .argument(
      '<directory>',
      'holds model.onnx, golden.json, pipeline.json; optionally profile.json, README.md, bundle.yaml',
    )
    .argument('<model@version>', 'what it is published as')
    .option('--note <text>', 'what is new')
    .option('--parent <version>', 'version that this one was made from')
    .option(
      '--max-staleness-days <days>',
      'devices without a link may install it so long after their metadata has expired (else not at all)',
      wholeNumberFrom(1, 3_650),
    )
    .option(
      '--require-oms <key...>',
      'refuse a directory that no holder of these EC keys has signed (OpenSSF model signing)',
    )
    .option('--oms-signature <file>', 'the .sig that came with it; kept beside the version')
    .option('--oms-key <file>', 'EC private key: adds a model signature that model_signing and cosign verify')
    .option('--oms-passphrase-file <file>', "read that key's passphrase from a file")
    .action(
      run(async (shell, directory: string, what: string, options: PublishOptions) =>
        (await import('../publish.ts')).publish(shell, directory, what, options),
      ),
    )
  version
    .command('list')
    .description('the versions of a model')
    .argument('<model>')
    .action(
      run(async (shell, model: string) => {
        const found = await shell
          .hub()
          .get<{ versions: Listed[] }>(`/api/v1/models/${encodeURIComponent(model)}`)
        shell.out.list(
          found.versions,
          ['VERSION', 'STATE', 'COUNTER', 'DIGEST', 'CREATED'],
          (v) => [
            v.version,
            v.listed ? 'released' : 'uploaded',
            v.releaseCounter,
            v.releaseDigest.slice(0, 12),
            v.createdAt,
          ],
          `no versions of ${model}`,
        )
      }),
    )
  version
    .command('show')
    .description('one version: what it promises, its files and digests')
    .argument('<model@version>')
    .action(
      run(async (shell, what: string) => {
        const { model, version: name } = versionOf(what)
        const found = await shell
          .hub()
          .get<{ release: Release }>(
            `/api/v1/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(name)}`,
          )
        shell.out.print(found, () => JSON.stringify(found, undefined, 2))
      }),
    )
  version
    .command('download')
    .description('fetch a release with its files and trust metadata, for `godwit verify` without a network')
    .argument('<model@version>')
    .argument('<directory>', 'made anew; must not exist')
    .action(
      run(async (shell, what: string, directory: string) =>
        (await import('../download.ts')).download(shell, what, directory),
      ),
    )
  releaseOptions(version.command('revoke'))
    .description('stop listing a version: no device may install it from then on')
    .argument('<model@version>')
    .action(
      run(async (shell, what: string, options: ReleaseOptions) => {
        const { model, version: name } = versionOf(what)
        const { revoke } = await import('../publish.ts')
        const { version: targets, prepared, document } = await revoke(shell, model, name, options)
        shell.out.print({ model, version: name, listed: prepared !== undefined, targets, prepared }, () =>
          prepared
            ? `${document} without ${model} ${name} is written to ${prepared}, unsigned; nothing is revoked before it is signed and pushed`
            : `${model} ${name} is no longer listed (${document})`,
        )
      }),
    )
}
