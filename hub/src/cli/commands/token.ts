import type { Noun } from '../command.ts'
import { CliError } from '../exit.ts'
import { ago } from '../output.ts'

type ApiToken = {
  id: string
  name: string
  roles: string[]
  scopes?: string[]
  /** Whose it is; absent: a program's. */
  owner?: string
  createdAt: string
  expiresAt?: string
  revokedAt?: string
  lastUsedAt?: string
}

type CreateOptions = {
  name: string
  role: string[]
  scope?: string[]
  expiresDays: string
  program?: boolean
}

export const tokenNoun: Noun = (program, run) => {
  const token = program.command('token').description('API tokens for programs and people')
  token
    .command('create')
    .description('make a token; it is shown once')
    .requiredOption('--name <name>', 'what it is for')
    .requiredOption('--role <role...>', 'viewer, operator, publisher, approver, admin; one or more')
    .option(
      '--scope <scope...>',
      'narrower than the roles: read, operate, approve, publish, publish:MODEL-PATTERN',
    )
    .option('--expires-days <days>', 'life in days', '365')
    .option('--program', "a token that is no person's, such as for a CI: needs an admin")
    .action(
      run(async (shell, options: CreateOptions) => {
        const made = await shell.hub().send<ApiToken & { token: string }>('POST', '/api/v1/tokens', {
          name: options.name,
          roles: options.role,
          ...(options.scope && { scopes: options.scope }),
          ...(options.program && { ofProgram: true }),
          expiresInMs: daysToMs(options.expiresDays),
        })
        shell.out.note('This is the only time the token is shown.')
        shell.out.print(made, () => made.token)
      }),
    )
  token
    .command('list')
    .description('yours; for an administrator everybody’s')
    .action(
      run(async (shell) => {
        const all = await shell.hub().list<ApiToken>('/api/v1/tokens')
        const time = (text: string | undefined) => (text ? ago(Date.parse(text), shell.now()) : '–')
        shell.out.list(
          all,
          ['ID', 'NAME', 'OF', 'MAY', 'CREATED', 'LAST USED', 'STATE'],
          (t) => [
            t.id,
            t.name,
            t.owner ?? 'a program',
            (t.scopes ?? t.roles).join(' '),
            time(t.createdAt),
            time(t.lastUsedAt),
            stateOf(t, shell.now()),
          ],
          'no tokens',
        )
      }),
    )
  token
    .command('revoke')
    .description('at once and for good')
    .argument('<id>')
    .action(
      run(async (shell, id: string) => {
        await shell.hub().send('DELETE', `/api/v1/tokens/${encodeURIComponent(id)}`)
        shell.out.print({ id, revoked: true }, () => `revoked ${id}`)
      }),
    )
}

function stateOf({ revokedAt, expiresAt }: ApiToken, now: number): string {
  if (revokedAt) return 'revoked'
  if (!expiresAt) return 'valid'
  return Date.parse(expiresAt) <= now ? 'expired' : `until ${expiresAt.slice(0, 10)}`
}

function daysToMs(days: string): number {
  const ms = Math.round(Number(days) * 86_400_000)
  if (Number.isSafeInteger(ms) && ms > 0) return ms
  throw new CliError('usage', 'bad_days', `--expires-days: expected a number of days above 0, found ${days}`)
}
