import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { metadataOverHttp } from '@godwit/agent/control/hub-http'
import { rootBytesMax, timestampBytesMax } from '@godwit/protocol/limits'
import { topics } from '@godwit/protocol/topics'
import { afterEach, expect, test } from 'vitest'
import { fleet, refused, Victim } from './victim.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** Serves what is there, and white space without end for the one file. Counts what was taken of it. */
async function mirror(files: () => ReadonlyMap<string, Uint8Array>, endless: string) {
  let bytes = 0
  server = createServer((request, response) => {
    const name = request.url!.slice('/meta/'.length)
    if (name !== endless) {
      const found = files().get(name)
      return response.writeHead(found ? 200 : 404).end(found)
    }
    const chunk = Buffer.alloc(65_536, ' ')
    const pour = () => {
      while (!response.destroyed && response.write(chunk)) bytes += chunk.length
      if (!response.destroyed) response.once('drain', pour)
    }
    return pour()
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { fetch: metadataOverHttp(url, fetch), taken: () => bytes }
}

test.each(['timestamp.json', '2.root.json', '1.snapshot.json', '1.targets.json'])(
  '%s without end is given up at its cap',
  async (name) => {
    let victim: Victim
    const hostile = await mirror(() => victim.repository.files, name)
    victim = new Victim(hostile.fetch)
    expect(await victim.trust.refresh()).toMatchObject(
      refused('length-exceeded', new RegExp(`${name}: expected at most`)),
    )
    // What the kernel buffers on both sides comes on top of the largest cap.
    expect(hostile.taken()).toBeLessThan(5 * 1_048_576 + 16 * 1_048_576)
  },
)

test('a retained document beyond the cap is not even kept', async () => {
  const victim = new Victim()
  expect(victim.trust.heard(topics.meta(fleet, 'timestamp'), new Uint8Array(timestampBytesMax + 1))).toBe(
    false,
  )
  expect(victim.trust.heard(topics.meta(fleet, 'root', 2), new Uint8Array(rootBytesMax + 1))).toBe(false)
  expect(await victim.hears()).toMatchObject({ trusted: true })
})
