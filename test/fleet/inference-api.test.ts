import { appendFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { freePort, type MoteDevice } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allAtOnce, eventually, FleetInABox } from '../support/fleet-in-a-box.ts'
import { childrenOf, hasProc } from '../support/process-tree.ts'

let box: FleetInABox
let mote: MoteDevice
let port: number
let socketPath: string

beforeAll(async () => {
  box = await FleetInABox.open()
  const [device] = await Promise.all([
    box.addDevice(1),
    (async () => {
      for (const version of ['1', '2', '3']) await box.publish(version)
    })(),
  ])
  mote = device
  await mote.program.stop()
  port = await freePort(31_000 + Math.floor(Math.random() * 5_000))
  socketPath = join(mote.directory, 'api.sock')
  appendFileSync(mote.configFile, `    api: { listen: '127.0.0.1:${port}', socket: ${socketPath} }\n`)
  box.stage.restartDevice(mote)
  await box.inPhase(await box.rollout('1', allAtOnce), 'completed')
})
afterAll(() => box?.close())

type Answer = { version: string } | { failed: string }

const body = JSON.stringify({
  inputs: [{ name: 'window', shape: [1, 2, 2], datatype: 'FP32', data: [1, 2, 3, 4] }],
})

function infer(
  to: { agent: Agent } & ({ port: number; host: string } | { socketPath: string }),
): Promise<Answer> {
  return new Promise((resolve) => {
    const failed = (error: Error) => resolve({ failed: error.message })
    const call = request({ ...to, method: 'POST', path: '/v2/models/identity/infer' }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
      })
      response.on('error', failed)
      response.on('end', () => {
        const { model_version: version, error, outputs } = JSON.parse(text)
        const isRight = response.statusCode === 200 && outputs[0].data.join() === '1,2,3,4'
        resolve(isRight ? { version } : { failed: `${response.statusCode} ${error}` })
      })
    })
    call.on('error', failed)
    call.end(body)
  })
}

/** Callers that ask as fast as they are answered, on connections that they keep. */
class Callers {
  readonly answers: Answer[] = []
  #isOver = false
  readonly #loops: Promise<void>[]

  constructor() {
    const tcp = () => ({ port, host: '127.0.0.1', agent: new Agent({ keepAlive: true, maxSockets: 1 }) })
    const unix = () => ({ socketPath, agent: new Agent({ keepAlive: true, maxSockets: 1 }) })
    const fresh = { port, host: '127.0.0.1', agent: new Agent({ keepAlive: false }) }
    this.#loops = [tcp(), tcp(), unix(), fresh].map((to) => this.#call(to))
  }

  get failures(): string[] {
    return this.answers.flatMap((answer) => ('failed' in answer ? [answer.failed] : []))
  }

  has(version: string): boolean {
    return this.answers.slice(-20).some((answer) => 'version' in answer && answer.version === version)
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loops)
  }

  async #call(to: Parameters<typeof infer>[0]): Promise<void> {
    while (!this.#isOver) {
      this.answers.push(await infer(to))
      // Busy, and yet no flood: two cores also run the hub.
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    to.agent.destroy()
  }
}

test('no request fails while one release takes over from another, forth and back', async () => {
  const callers = new Callers()
  await eventually('the first release to answer', async () => callers.has('1'))
  await box.inPhase(await box.rollout('2', allAtOnce), 'completed')
  await eventually('the second release to answer', async () => callers.has('2'))

  // No model answers within a microsecond: on probation the device goes back by itself.
  const probation = { ...allAtOnce.probation, p95MicrosMax: 1 }
  await box.rollout('3', { ...allAtOnce, probation })
  await eventually('the third release to answer', async () => callers.has('3'))
  await eventually('the second release to answer again', async () => callers.has('2') && !callers.has('3'))
  await callers.end()
  expect(callers.failures).toEqual([])
  expect(callers.answers.length).toBeGreaterThan(100)
})

test('requests are counted at the hub, beside the readings of the source', async () => {
  const windows = await box.observe.windows(mote.id)
  const totals = windows.map(
    ({ readings, inferences, errors, warmUp }) => readings - inferences - errors - warmUp,
  )
  expect(new Set(totals)).toEqual(new Set([0]))
  // The source alone, at its pace, could not have made them.
  const { counted, read } = await box.readings(mote)
  expect(counted).toBeGreaterThan(read)
})

test.skipIf(!hasProc)('a runner that crashes fails the requests that it held, and no other', async () => {
  const callers = new Callers()
  await eventually('answers', async () => callers.answers.length > 20)
  const [runner] = childrenOf(mote.program.pid)
  process.kill(runner!, 'SIGKILL')
  const before = callers.answers.length
  await eventually('answers of another runner', async () => callers.answers.length > before + 20)
  await callers.end()
  // Each of the four had at most one under way, or found its connection cut as it began to ask.
  expect(callers.failures.length).toBeLessThanOrEqual(4)
  expect(callers.failures.every((failure) => /ECONNRESET|socket hang up|EPIPE/.test(failure))).toBe(true)
})
