import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from '@godwit/sample-sensor-fleet/demo/processes'
import { freePort } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { eventually } from '../support/fleet-in-a-box.ts'
import { hasProc, processesNaming } from '../support/process-tree.ts'

const demo = createRequire(import.meta.url).resolve('@godwit/sample-sensor-fleet/main')

/** The story as `npm start` runs it, with a directory for temporary files of its own. */
class Demo {
  readonly temporary = mkdtempSync(join(tmpdir(), 'godwit-demo-'))
  readonly #child: ChildProcess
  readonly ended: Promise<number | string>
  output = ''

  constructor(...options: string[]) {
    this.#child = spawn(process.execPath, [demo, ...options], {
      env: { ...process.env, TMPDIR: this.temporary },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.on('data', (text: Buffer) => (this.output += text.toString()))
    this.ended = new Promise((settle) => this.#child.once('close', (code, signal) => settle(code ?? signal!)))
  }

  async says(words: RegExp): Promise<RegExpExecArray> {
    let hasEnded = false
    this.ended.then(() => {
      hasEnded = true
    })
    await eventually(`the story to say ${words}`, async () => hasEnded || words.test(this.output), {
      withinMs: 50_000,
    })
    const found = words.exec(this.output)
    if (!found) throw new Error(`the story ended without ${words}: ${this.output}`)
    return found
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  get processes(): number[] {
    return processesNaming(this.temporary)
  }
}

let story: Demo | undefined
afterEach(async () => {
  story?.signal('SIGTERM')
  await story?.ended
  if (story) rmSync(story.temporary, { recursive: true, force: true })
  story = undefined
})

describe.skipIf(!hasProc)('Ctrl-C', () => {
  test('in the middle of the story ends every process and leaves no file', async () => {
    story = new Demo('--once')
    await story.says(/mote-\d has proved v1/)
    // The hub and four agents at least; the story itself names the directory nowhere.
    expect(story.processes.length).toBeGreaterThanOrEqual(5)
    story.signal('SIGINT')
    expect(await story.ended).not.toBe(0)
    expect(story.processes).toEqual([])
    expect(readdirSync(story.temporary)).toEqual([])
  })

  test('while the hub is still starting leaves nothing either', async () => {
    story = new Demo('--once')
    await eventually('the first process', async () => story!.processes.length > 0, { everyMs: 10 })
    story.signal('SIGINT')
    await story.ended
    expect(story.processes).toEqual([])
    expect(readdirSync(story.temporary)).toEqual([])
  })

  test('twice ends it at once, and still no process stays', async () => {
    story = new Demo('--once')
    await story.says(/Dashboard: /)
    await eventually('an agent', async () => story!.processes.length >= 2)
    story.signal('SIGINT')
    story.signal('SIGINT')
    await story.ended
    await eventually('no process to be left', async () => story!.processes.length === 0)
  })
})

describe('the port', () => {
  const portOf = async (demo: Demo) => Number((await demo.says(/Dashboard: http:\/\/127\.0\.0\.1:(\d+)/))[1])

  test('8080 is walked around when somebody else has it', async () => {
    const other = createServer()
    // Somebody else has it already, or we are that somebody.
    await new Promise<void>((settle) => {
      other.once('error', () => settle())
      other.listen(8080, '127.0.0.1', settle)
    })
    const mine = other.listening ? (other.address() as AddressInfo).port : 8080
    story = new Demo('--once')
    expect(await portOf(story)).not.toBe(mine)
    await new Promise<void>((settle) => other.close(() => settle()))
  })

  test('that --port names is the one', async () => {
    const port = await freePort(20_000 + Math.floor(Math.random() * 10_000))
    story = new Demo('--once', '--port', String(port))
    expect(await portOf(story)).toBe(port)
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
  })

  test('that --port names and somebody else has is said to be taken', async () => {
    const other = createServer()
    await new Promise<void>((settle) => other.listen(0, '127.0.0.1', settle))
    const { port } = other.address() as AddressInfo
    story = new Demo('--once', '--port', String(port))
    expect(await story.ended).toBe(1)
    expect(story.output).toMatch(new RegExp(`${port}`))
    await new Promise<void>((settle) => other.close(() => settle()))
  })

  test.each([
    [['--port', 'eighty'], 'eighty'],
    [['--port', '0'], '0'],
    [['--port', '65536'], '65536'],
    [['--pace', '-1'], '--pace'],
    [['--prot', '1'], '--prot'],
  ])('%s gives the usage and exit code 2', async (options, words) => {
    const { code, stdout, stderr } = await runCommand([demo, ...options], {})
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(words)
    expect(stderr).toContain('npm start -- [--once]')
  })
})

test('--keep leaves the databases and logs where they were asked for', async () => {
  const keep = mkdtempSync(join(tmpdir(), 'godwit-kept-'))
  onTestFinished(() => rmSync(keep, { recursive: true, force: true }))
  story = new Demo('--once', '--keep', keep)
  await story.says(/Dashboard: /)
  story.signal('SIGINT')
  await story.ended
  expect(existsSync(join(keep, 'hub', 'hub.db'))).toBe(true)
  expect(existsSync(join(keep, 'logs', 'hub.log'))).toBe(true)
  expect(processesNaming(keep)).toEqual([])
})
