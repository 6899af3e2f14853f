import type { Noun } from '../command.ts'
import { ago } from '../output.ts'

type User = {
  id: string
  name: string
  roles: string[]
  hasPassword: boolean
  oidcIssuer?: string
  createdAt: string
  disabledAt?: string
  lastLoginAt?: string
}
type Invitation = { url: string; expiresAt: string }

/** People who use the hub, and what they may do. */
export const userNoun: Noun = (program, run) => {
  const user = program.command('user').description('people: viewer, operator, publisher, approver, admin')
  const at = (name: string, verb = '') => `/api/v1/users/${encodeURIComponent(name)}${verb}`
  user
    .command('list')
    .description('who there is, what they may do, and when they were last here')
    .action(
      run(async (shell) => {
        const all = await shell.hub().list<User>('/api/v1/users')
        const time = (text: string | undefined) => (text ? ago(Date.parse(text), shell.now()) : 'never')
        shell.out.list(
          all,
          ['NAME', 'ROLES', 'LOGS IN BY', 'LAST LOGIN', 'STATE'],
          (u) => [
            u.name,
            u.roles.join(' '),
            waysOf(u),
            time(u.lastLoginAt),
            u.disabledAt ? 'disabled' : 'active',
          ],
          'nobody yet: godwit user create NAME --role ROLE',
        )
      }),
    )
  user
    .command('create')
    .description('let somebody in: prints a link by which they choose a password')
    .argument('<name>', 'letters, digits and . _ @ + -; never changes')
    .requiredOption('--role <role...>', 'viewer, operator, publisher, approver, admin; one or more')
    .action(
      run(async (shell, name: string, options: { role: string[] }) => {
        const made = await shell
          .hub()
          .send<User & { invitation: Invitation }>('POST', '/api/v1/users', { name, roles: options.role })
        shell.out.note(
          `Give this to ${name} and to nobody else; it is good until ${made.invitation.expiresAt}.`,
        )
        shell.out.print(made, () => made.invitation.url)
      }),
    )
  user
    .command('invite')
    .description('another link to choose a password, when the first or the password was lost')
    .argument('<name>')
    .action(
      run(async (shell, name: string) => {
        const invitation = await shell.hub().send<Invitation>('POST', at(name, '/invite'))
        shell.out.print(invitation, () => invitation.url)
      }),
    )
  user
    .command('roles')
    .description('what somebody may do from now on, in place of what they might')
    .argument('<name>')
    .argument('<role...>')
    .action(
      run(async (shell, name: string, roles: string[]) => {
        const changed = await shell.hub().send<User>('PUT', at(name, '/roles'), { roles })
        shell.out.print(changed, () => `${name}: ${changed.roles.join(', ')}`)
      }),
    )
  user
    .command('logout')
    .description('end every browser session of somebody; they may log in again')
    .argument('<name>')
    .action(
      run(async (shell, name: string) => {
        const { ended } = await shell.hub().send<{ ended: number }>('POST', at(name, '/logout'))
        shell.out.print({ name, ended }, () => `${ended} session${ended === 1 ? '' : 's'} of ${name} ended`)
      }),
    )
  for (const [verb, words] of [
    ['disable', 'end sessions and tokens of somebody at once, and let them in no more'],
    ['enable', 'let somebody in again'],
  ] as const) {
    user
      .command(verb)
      .description(words)
      .argument('<name>')
      .action(
        run(async (shell, name: string) => {
          const changed = await shell.hub().send<User>('POST', at(name, `/${verb}`))
          shell.out.print(changed, () => `${name} is ${verb}d`)
        }),
      )
  }
}

function waysOf({ hasPassword, oidcIssuer }: User): string {
  const ways = [hasPassword && 'password', oidcIssuer].filter(Boolean)
  return ways.length > 0 ? ways.join(', ') : 'invited'
}
