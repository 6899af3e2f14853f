import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Every call that changes what a disk holds, and the opening of files: what a failing or full disk can refuse. */
export const changingCalls = [
  ...['write', 'pwrite64', 'writev', 'pwritev', 'ftruncate', 'truncate', 'fallocate', 'copy_file_range'],
  ...['fsync', 'fdatasync', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir'],
  ...['link', 'linkat', 'mkdir', 'mkdirat', 'chmod', 'fchmod', 'fchmodat'],
] as const
export const openingCalls = ['openat', 'creat'] as const
/** A failing disk refuses these as well; nothing is ever half done after them. */
export const readingCalls = ['read', 'pread64'] as const

export type Call = {
  tid: number
  name: string
  /** As they stand in the trace, descriptors resolved: of one call at most two. */
  paths: string[]
  /** `openat` only. */
  flags: string
  text: string
  /** A `mkdir` of what is there already: no disk can be too full for it. */
  existed: boolean
  injected: boolean
}

/** True where strace is there and may attach and inject; otherwise nothing here can run. */
export function canTrace(): boolean {
  const args = ['-qq', '-o', '/dev/null', '-e', 'trace=chdir', '-e', 'inject=chdir:error=EIO:when=1', 'true']
  const tried = spawnSync('strace', args, { stdio: 'ignore' })
  return tried.status === 0
}

/** Holds on to threads of a process from `attach` until `end` or the process's own end. */
export class Tracer {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  readonly #logPath: string

  private constructor(child: ChildProcess, logPath: string) {
    this.#child = child
    this.#logPath = logPath
    this.#ended = new Promise((resolve) => child.once('exit', () => resolve()))
  }

  /** Resolves when every thread is held. No `-f`: the runners that control starts are none of the matrix's business. */
  static async attach(tids: readonly number[], logPath: string, options: readonly string[]): Promise<Tracer> {
    const args = ['-y', '-s', '8', '-o', logPath, ...options, ...tids.flatMap((tid) => ['-p', String(tid)])]
    const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const tracer = new Tracer(child, logPath)
    let said = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (bytes: Buffer) => {
        said += bytes.toString()
        if (tids.every((tid) => said.includes(`Process ${tid} attached`))) resolve()
      })
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`strace ended before it held the process: ${said}`)))
    })
    return tracer
  }

  /** Lets go; the traced process goes on. */
  async end(): Promise<Call[]> {
    this.#child.kill('SIGINT')
    return this.calls()
  }

  /** When the traced process or the tracer has ended. */
  async calls(): Promise<Call[]> {
    await this.#ended
    return parseTrace(readFileSync(this.#logPath, 'utf8'))
  }
}

/** A call that another thread interrupted counts where it began. */
export function parseTrace(text: string): Call[] {
  return text.split('\n').flatMap((line) => {
    const found = /^(?:(\d+) +)?([a-z0-9_]+)\((.*)$/.exec(line)
    if (!found) return []
    const [, tid, name, rest] = found
    const flags = /\b(O_[A-Z_|]+)/.exec(rest!)?.[1] ?? ''
    return [
      {
        tid: Number(tid ?? 0),
        name: name!,
        paths: pathsOf(name!, rest!),
        flags,
        text: line,
        existed: rest!.includes('= -1 EEXIST'),
        injected: rest!.includes('(INJECTED)'),
      },
    ]
  })
}

function pathsOf(name: string, rest: string): string[] {
  const quoted = [...rest.matchAll(/"([^"]*)"/g)].map(([, path]) => path!)
  const opened = [...rest.split(' = ')[0]!.matchAll(/\d+<(\/[^>]*)>/g)].map(([, path]) => path!)
  if (['read', 'pread64', 'write', 'pwrite64', 'writev', 'pwritev'].includes(name)) return opened.slice(0, 1)
  return [...opened, ...quoted]
}
