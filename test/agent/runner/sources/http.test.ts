import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openHttp } from '@godwit/agent/runner/sources/http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ManualClock } from '../manual-clock.ts'

const never = new AbortController().signal
let server: Server
let answers: { status?: number; body: string }[]
let asked: number

beforeEach(async () => {
  answers = []
  asked = 0
  server = createServer((_, response) => {
    const { status = 200, body } = answers[Math.min(asked++, answers.length - 1)]!
    response.statusCode = status
    response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterEach(() => new Promise((resolve) => server.close(resolve)))

async function polled(cursor?: unknown) {
  const clock = new ManualClock()
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/now`
  const config = { kind: 'http' as const, url, intervalMs: 1_000, fields: { t: 'sensor.t' }, at: 'at' }
  const source = await openHttp(config, ['t'], cursor, clock)
  /** Time passes as far as somebody waits for it. */
  const take = async () => {
    let result: Awaited<ReturnType<typeof source.next>> | 'waiting' = 'waiting'
    const next = source.next(never).then((value) => {
      result = value
    })
    while (result === 'waiting') {
      if (clock.waiting > 0) clock.advance(1_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await next
    return (result as Awaited<ReturnType<typeof source.next>>)!.reading
  }
  return { source, take }
}

test('an answer is a reading, and an array is several', async () => {
  answers = [{ body: '{"sensor":{"t":1}}' }, { body: '[{"sensor":{"t":2}},{"sensor":{"t":3}}]' }]
  const { take } = await polled()
  expect([await take(), await take(), await take()].map(({ values }) => values['t'])).toEqual([1, 2, 3])
})

test('a reading with a time that was seen is not taken again, not even by a successor', async () => {
  const one = (at: number) => ({ body: `{"at":${at},"sensor":{"t":${at}}}` })
  answers = [one(1), one(1), one(2), one(2), one(3)]
  const { source, take } = await polled()
  expect([await take(), await take()].map(({ at }) => at)).toEqual([1, 2])
  const next = await polled(JSON.parse(JSON.stringify(source.position!())))
  expect((await next.take()).at).toBe(3)
})

test('what does not answer, or answers nonsense, is an error and asked again', async () => {
  answers = [{ status: 503, body: '' }, { body: '<html>' }, { body: '7' }, { body: '{"sensor":{"t":4}}' }]
  const { take } = await polled()
  const taken = [await take(), await take(), await take(), await take()]
  expect(taken.map(({ flaw }) => flaw ?? '')).toEqual([
    expect.stringMatching(/status 503, expected 200/),
    expect.stringMatching(/no JSON/),
    expect.stringMatching(/expected an object, found "7"/),
    '',
  ])
})
