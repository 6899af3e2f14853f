import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { badVersions, betterVersion, drift, firstVersion, outage, type Story } from './demo/chapters.ts'
import { Checks } from './demo/checks.ts'
import { Observer } from './demo/observe.ts'
import { writeRecording } from './demo/recording.ts'
import { Stage } from './demo/stage.ts'
import { loadMotes } from './motes.ts'

const usage = `npm start -- [--once] [--port PORT] [--pace MILLISECONDS] [--keep DIRECTORY]
  --once   end after the story; exit 0 only if every check held
  --port   port of the dashboard (else 8080, or a free one)
  --pace   milliseconds between two readings of a mote (4: one recording in 20 seconds)
  --keep   put databases, keys and logs there and leave them`

type Options = { once: boolean; port?: number; pace: number; keep?: string }

function readOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        port: { type: 'string' },
        pace: { type: 'string', default: '4' },
        keep: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      process.stdout.write(`${usage}\n`)
      process.exit(0)
    }
    const port = values.port === undefined ? undefined : Number(values.port)
    const pace = Number(values.pace)
    if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536))
      throw new Error(`--port ${values.port} is no port`)
    if (!(pace > 0)) throw new Error(`--pace ${values.pace} is no number of milliseconds`)
    return {
      once: values.once,
      pace,
      ...(port === undefined ? {} : { port }),
      ...(values.keep === undefined ? {} : { keep: values.keep }),
    }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}\n`)
    process.exit(2)
  }
}

const options = readOptions()
const startedAt = performance.now()
const directory = options.keep ?? mkdtempSync(join(tmpdir(), 'godwit-'))
const stage = new Stage(directory)
const stopping = new AbortController()
const tell = (text: string) => {
  const isTitle = /^\d\. /.test(text)
  process.stdout.write(`${isTitle ? '\n' : '   '}${text}\n`)
}
const checks = new Checks(tell)

/** The same Ctrl-C may come twice, from the terminal and from npm; one a second later is another. */
const oneSignalMs = 1_000
let askedAt: number | undefined

/** Ctrl-C ends the story between two looks; a second one ends it here and now. */
function onSignal(): void {
  if (askedAt !== undefined && performance.now() - askedAt > oneSignalMs) {
    stage.killAll()
    process.exit(130)
  }
  askedAt ??= performance.now()
  stopping.abort(new Error('stopped'))
}
process.on('SIGINT', onSignal)
process.on('SIGTERM', onSignal)
// Whatever happens to this process, its children do not outlive it.
process.on('exit', () => stage.killAll())

let failure: unknown
try {
  await play()
} catch (error) {
  failure = error
}
const wasStopped = stopping.signal.aborted
if (failure !== undefined && !wasStopped) {
  const { message, cause } = failure as Error
  if (cause) tell(`  because: ${(cause as Error).message}`)
  const ended = stage.ended()
  checks.add(
    'the story ran to its end',
    false,
    ended.length > 0 ? `${message}; ended meanwhile: ${ended.join(', ')}` : message,
  )
}
if (checks.all.length > 0) printTable()
const isTrue = failure === undefined && checks.allHeld
if (isTrue && !options.once && !wasStopped) {
  tell(`\n   The fleet goes on. Dashboard: ${stage.hub.url}   (Ctrl-C ends it)`)
  tell(
    `A login link for another browser: ${(await stage.hub.post<{ url: string }>('/api/v1/session/link', {})).url}`,
  )
  await new Promise<void>((resolve) =>
    stopping.signal.addEventListener('abort', () => resolve(), { once: true }),
  )
}
await stage.stop()
if (options.keep === undefined && (isTrue || wasStopped)) rmSync(directory, { recursive: true, force: true })
else tell(`logs and databases are in ${directory}`)
process.exit(isTrue ? 0 : wasStopped && failure === undefined ? 0 : 1)

async function play(): Promise<void> {
  const motes = loadMotes()
  await stage.startHub(options.port)
  tell(`Dashboard: ${stage.dashboardLink}`)
  await Promise.all(
    motes.map((mote) => {
      const recording = writeRecording(join(directory, `mote-${mote.id}.csv`), mote)
      return stage.startDevice(mote.id, mote.place, recording, options.pace)
    }),
  )
  const story: Story = {
    stage,
    observe: new Observer(stage.hub),
    motes,
    checks,
    tell,
    startedAt,
    signal: stopping.signal,
  }
  for (const chapter of [firstVersion, drift, betterVersion, badVersions, outage]) await chapter(story)
}

function printTable(): void {
  const width = Math.max(...checks.all.map((check) => check.name.length))
  process.stdout.write('\n')
  for (const { name, held, seen } of checks.all)
    process.stdout.write(`${held ? '✔' : '✖'} ${name.padEnd(width)}  ${seen}\n`)
  process.stdout.write(
    `\n${checks.all.filter((check) => check.held).length} of ${checks.all.length} checks held\n`,
  )
}
