import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { silentLog } from '@godwit/agent/control/log'
import { SourcePipe } from '@godwit/agent/control/source-pipe'
import type { FromRunner } from '@godwit/agent/runner/messages'
import { afterEach, expect, test } from 'vitest'
import { stage, temporaryFolder } from '../bundle-on-disk.ts'
import { Child } from '../child.ts'

type WindowMessage = Extract<FromRunner, { type: 'window' }>
let close = () => {}
afterEach(() => close())

const fifo = { kind: 'fifo' as const, path: '' }

async function serve(child: Child, checkpoint?: WindowMessage['checkpoint']): Promise<void> {
  const loaded = await child.ask(stage(), 'loaded')
  if (loaded.type === 'failed') throw new Error(loaded.detail)
  await child.ask({ type: 'serve', source: fifo, windowMs: 50, ...(checkpoint && { checkpoint }) }, 'serving')
}

function readingsOf(child: Child): number {
  return child.heard.reduce(
    (sum, message) => sum + (message.type === 'window' ? message.record.readings : 0),
    0,
  )
}

async function untilReadings(child: Child, count: number): Promise<void> {
  let heard = 0
  while (readingsOf(child) < count) {
    const window = await child.hear('window', heard)
    if (!window) throw new Error('the runner ended')
    heard = child.heard.length
    child.send({ type: 'stored', window: window.window })
  }
}

test.skipIf(process.platform === 'win32')(
  'readings through a FIFO outlive the runner that reads them: each is taken once',
  async () => {
    const path = join(temporaryFolder(), 'readings')
    const pipe = new SourcePipe({ kind: 'fifo', path }, silentLog)
    const { fd } = pipe
    const writer = openSync(path, 'w')
    close = () => {
      closeSync(writer)
      pipe.close()
    }
    const write = (from: number, to: number) => {
      for (let t = from; t < to; t++) writeSync(writer, `{"t":${t}}\n`)
    }
    const first = new Child({}, fd)
    await serve(first)
    write(0, 500)
    writeSync(writer, '{"t":')
    await untilReadings(first, 100)
    const handedOver = await first.ask({ type: 'hand-over' }, 'handed-over')
    // Nobody reads now: what is written waits in the pipe, and the writer notices nothing.
    writeSync(writer, '500}\n')
    write(501, 600)
    const second = new Child({}, fd)
    await serve(second, handedOver.type === 'handed-over' ? handedOver.checkpoint : undefined)
    await untilReadings(second, 600 - readingsOf(first))
    expect(readingsOf(first) + readingsOf(second)).toBe(600)
    const { errors } = second.heard.findLast((message) => message.type === 'window')!.record
    expect(errors).toBe(0)
  },
)

test.skipIf(process.platform === 'win32')(
  'a source that is no pipe is named as the trouble, and the model serves all the same',
  async () => {
    const child = new Child({}, openSync('/dev/null', 'r'))
    await child.ask(stage(), 'loaded')
    const answer = await child.ask({ type: 'serve', source: { kind: 'stdin' }, windowMs: 50 }, 'serving')
    expect(answer).toMatchObject({ type: 'serving' })
    expect(child.heard).toContainEqual({
      type: 'source-unavailable',
      detail: expect.stringContaining('standard input is no pipe'),
    })
  },
)
