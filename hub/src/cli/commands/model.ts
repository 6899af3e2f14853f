import type { Noun } from '../command.ts'
import { table } from '../output.ts'

type Model = {
  name: string
  description: string
  createdAt: string
  versions?: { version: string; listed?: boolean }[]
  aliases?: Record<string, string>
}

export const modelNoun: Noun = (program, run) => {
  const model = program.command('model').description('models of the registry')
  model
    .command('create')
    .description('make a model, to publish versions of')
    .argument('<name>')
    .option('--description <text>', 'what it is for', '')
    .action(
      run(async (shell, name: string, options: { description: string }) => {
        const made = await shell
          .hub()
          .send<Model>('POST', '/api/v1/models', { name, description: options.description })
        shell.out.print(made, () => `created ${made.name}`)
      }),
    )
  model
    .command('list')
    .description('all models')
    .action(
      run(async (shell) => {
        const all = await shell.hub().list<Model>('/api/v1/models')
        shell.out.list(
          all,
          ['MODEL', 'CREATED', 'DESCRIPTION'],
          (m) => [m.name, m.createdAt, m.description],
          'no models; godwit model create NAME',
        )
      }),
    )
  model
    .command('show')
    .description('one model, its aliases and versions')
    .argument('<name>')
    .action(
      run(async (shell, name: string) => {
        const found = await shell.hub().get<Model>(`/api/v1/models/${encodeURIComponent(name)}`)
        const aliases = Object.entries(found.aliases ?? {}).map(([alias, version]) => `${alias} → ${version}`)
        shell.out.print(found, () =>
          [
            `${found.name}  ${found.description}`,
            `aliases: ${aliases.join(', ') || 'none'}`,
            table(
              ['VERSION', 'STATE'],
              (found.versions ?? []).map((v) => [v.version, v.listed ? 'released' : 'uploaded']),
              'no versions',
            ),
          ].join('\n'),
        )
      }),
    )
  const alias = model.command('alias').description('names that point at a version, with history')
  alias
    .command('set')
    .description('let an alias name a version')
    .argument('<model>')
    .argument('<alias>')
    .argument('<version>')
    .action(
      run(async (shell, name: string, aliasName: string, version: string) => {
        const path = `/api/v1/models/${encodeURIComponent(name)}/aliases/${encodeURIComponent(aliasName)}`
        await shell.hub().send('PUT', path, { version })
        shell.out.print({ model: name, alias: aliasName, version }, () => `${name}@${aliasName} → ${version}`)
      }),
    )
  alias
    .command('rm')
    .description('take an alias away')
    .argument('<model>')
    .argument('<alias>')
    .action(
      run(async (shell, name: string, aliasName: string) => {
        await shell
          .hub()
          .send(
            'DELETE',
            `/api/v1/models/${encodeURIComponent(name)}/aliases/${encodeURIComponent(aliasName)}`,
          )
        shell.out.print(
          { model: name, alias: aliasName, removed: true },
          () => `removed ${name}@${aliasName}`,
        )
      }),
    )
}
