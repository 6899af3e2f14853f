import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import envPaths from 'env-paths'
import { CliError } from './exit.ts'

/** Which hubs this person talks to, and with which token. Kept 0600, because the tokens are in it. */
type Contexts = { current?: string; contexts: Record<string, Target> }

export type Environment = Readonly<Record<string, string | undefined>>
export type Target = {
  url: string
  token: string
  /** The fleet's first root, base64, as it was when this hub was first met: every later one must follow from it. */
  root?: string
  /** PEM. Who may have signed this hub's certificate, and nobody else; absent: the authorities that Node knows. */
  ca?: string
}

export class ContextFile {
  readonly path: string

  constructor(environment: Environment) {
    const directory = environment['GODWIT_CONFIG_DIR'] ?? envPaths('godwit', { suffix: '' }).config
    this.path = join(directory, 'contexts.json')
  }

  read(): Contexts {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { contexts: {} }
      throw cause
    }
    const value = parse(text)
    if (isContexts(value)) return value
    throw new CliError(
      'failure',
      'context_malformed',
      `${this.path} is no file of contexts`,
      'repair or remove the file, then godwit login URL',
    )
  }

  save(name: string, target: Target): void {
    const all = this.read()
    this.#write({ current: name, contexts: { ...all.contexts, [name]: target } })
  }

  use(name: string): void {
    const all = this.read()
    known(all.contexts, name)
    this.#write({ ...all, current: name })
  }

  remove(name: string): void {
    const { current, contexts } = this.read()
    known(contexts, name)
    const { [name]: _gone, ...rest } = contexts
    this.#write({ ...(current !== undefined && current !== name && { current }), contexts: rest })
  }

  #write(all: Contexts): void {
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 })
    writeFileSync(`${this.path}.tmp`, `${JSON.stringify(all, undefined, 2)}\n`, { mode: 0o600 })
    renameSync(`${this.path}.tmp`, this.path)
  }
}

/** Flag over environment over context file. */
export function chooseTarget(
  file: ContextFile,
  environment: Environment,
  flags: { url?: string; token?: string; context?: string },
): Target {
  const stored = file.read()
  const asked = flags.context ?? environment['GODWIT_CONTEXT']
  const context = asked === undefined ? stored.contexts[stored.current ?? ''] : known(stored.contexts, asked)
  const url = flags.url ?? environment['GODWIT_URL'] ?? context?.url
  const token = flags.token ?? environment['GODWIT_TOKEN'] ?? context?.token
  if (!url || !token) {
    throw new CliError(
      'auth',
      'no_hub',
      `no ${url ? 'token for the hub' : 'hub chosen'}`,
      'echo "$TOKEN" | godwit login URL, or set GODWIT_URL and GODWIT_TOKEN',
    )
  }
  // Of a hub that was named apart from any context nothing is known.
  const isOfContext = url === context?.url
  return {
    url: url.replace(/\/+$/, ''),
    token,
    ...(isOfContext && context.root && { root: context.root }),
    ...(isOfContext && context.ca && { ca: context.ca }),
  }
}

function known(contexts: Contexts['contexts'], name: string): Target {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined
  if (found) return found
  const names = Object.keys(contexts).join(', ') || 'none'
  throw new CliError('notFound', 'context_unknown', `no context ${name}`, `known: ${names}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** By hand: the schema library would be the slowest part of every command. */
function isContexts(value: unknown): value is Contexts {
  const { current, contexts } = (value ?? {}) as { current?: unknown; contexts?: unknown }
  if (current !== undefined && typeof current !== 'string') return false
  if (typeof contexts !== 'object' || contexts === null) return false
  return Object.values(contexts).every(
    (target: Partial<Target> | null) => typeof target?.url === 'string' && typeof target.token === 'string',
  )
}
