import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceKey, enrol } from '@godwit/agent/control/identity'
import { pathsIn } from '@godwit/agent/control/paths'
import { afterEach, beforeEach, expect, test } from 'vitest'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'godwit-enrol-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const ticket = { url: 'http://hub.example', secret: 'a-secret-of-the-operator', rootSha256: 'ab'.repeat(32) }
const chunk = new Uint8Array(100_000)

function enrolWith(answer: ReadableStream<Uint8Array>) {
  const paths = pathsIn(directory)
  return enrol(paths, deviceKey(paths), ticket, { fetch: async () => new Response(answer) })
}

test('an answer that breaks off is a hub that cannot be reached, and is asked for again', async () => {
  const broken = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(chunk)
      controller.error(new TypeError('terminated'))
    },
  })
  await expect(enrolWith(broken)).rejects.toMatchObject({ code: 'hub-unreachable' })
})

test('an answer that never ends is read up to a limit and not believed', async () => {
  let poured = 0
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      poured += chunk.length
      if (poured > 20_000_000) throw new Error('the device reads on and on')
      controller.enqueue(chunk)
    },
  })
  await expect(enrolWith(endless)).rejects.toMatchObject({ code: 'enrolment-answer-malformed' })
  expect(poured).toBeLessThan(3_000_000)
  expect(existsSync(pathsIn(directory).enrolment)).toBe(false)
})
