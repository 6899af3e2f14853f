import { HubClient } from '../client.ts'
import type { Noun } from '../command.ts'
import type { Target } from '../context.ts'
import { CliError } from '../exit.ts'

export const contextNoun: Noun = (program, run) => {
  program
    .command('login')
    .description('remember a hub and a token for it; checks that they fit')
    .argument('<url>', 'address of the hub, such as http://127.0.0.1:8080')
    .option('--name <name>', 'name of the context', 'default')
    .option('--root <file>', "the fleet's root as you have it; otherwise the hub's is believed this once")
    .option('--ca <file>', 'the authority that signs its certificate (`godwit hub ca export`), and no other')
    .action(
      run(async (shell, url: string, options: { name: string; root?: string; ca?: string }) => {
        const token = shell.environment['GODWIT_TOKEN'] ?? (await standardInput(shell.tty))
        const address = url.replace(/\/+$/, '')
        const known = shell.contexts.read().contexts[options.name]
        const target: Target = { url: address, token, ...(await believed(address, options.ca, known)) }
        const hub = new HubClient(target)
        const who = await hub.get<{ who: string; roles: string[] }>('/api/v1/session')
        const { pinRoot } = await import('../pin-root.ts')
        const pin = await pinRoot(hub, known, options.root)
        shell.contexts.save(options.name, { ...target, root: pin.root })
        shell.out.print({ context: options.name, url: target.url, ...who, rootSha256: pin.sha256 }, () =>
          [`logged in to ${url} as ${who.who} (${who.roles.join(', ')})`, pin.words].join('\n'),
        )
      }),
    )
  program
    .command('whoami')
    .description('who this token is at the hub')
    .action(
      run(async (shell) => {
        const who = await shell.hub().get<{ who: string; roles: string[] }>('/api/v1/session')
        shell.out.print(who, () => `${who.who} (${who.roles.join(', ')})`)
      }),
    )
  program
    .command('dashboard')
    .description('print a link that logs one browser in, once')
    .action(
      run(async (shell) => {
        const link = await shell
          .hub()
          .send<{ url: string; expiresAt: string }>('POST', '/api/v1/session/link', {})
        shell.out.print(link, () => link.url)
      }),
    )
  const context = program.command('context').description('the hubs this machine knows')
  context
    .command('list')
    .description('the hubs this machine knows, and which one commands go to')
    .action(
      run(async (shell) => {
        const all = shell.contexts.read()
        const rows = Object.entries(all.contexts).map(([name, { url }]) => ({
          name,
          url,
          current: name === all.current,
        }))
        shell.out.list(
          rows,
          ['CONTEXT', 'HUB', ''],
          (r) => [r.name, r.url, r.current ? 'current' : ''],
          'no context; godwit login URL',
        )
      }),
    )
  context
    .command('use')
    .description('choose the hub that commands go to')
    .argument('<name>')
    .action(
      run(async (shell, name: string) => {
        shell.contexts.use(name)
        shell.out.print({ current: name }, () => `now using ${name}`)
      }),
    )
  context
    .command('rm')
    .description('forget a hub and its token')
    .argument('<name>')
    .action(
      run(async (shell, name: string) => {
        shell.contexts.remove(name)
        shell.out.print({ removed: name }, () => `forgot ${name}`)
      }),
    )
}

/** A new token for the same hub needs the file no second time. */
async function believed(
  url: string,
  file: string | undefined,
  known: Target | undefined,
): Promise<{ ca?: string }> {
  if (file === undefined) return known?.url === url && known.ca !== undefined ? { ca: known.ca } : {}
  const { readCa } = await import('../ca-file.ts')
  if (url.startsWith('https:')) return { ca: readCa(file) }
  throw new CliError('usage', 'ca_without_tls', `--ca is for a hub with https, found ${url}`)
}

/** The token comes by standard input or environment, because arguments are seen by every user of the machine. */
async function standardInput(tty: boolean): Promise<string> {
  if (tty) process.stderr.write('API token: ')
  for await (const chunk of process.stdin) {
    const token = String(chunk).split('\n')[0]!.trim()
    if (token) return token
  }
  throw new CliError(
    'usage',
    'token_missing',
    'no token given',
    'echo "$TOKEN" | godwit login URL, or set GODWIT_TOKEN',
  )
}
