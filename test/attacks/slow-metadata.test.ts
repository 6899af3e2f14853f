import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { metadataOverHttp } from '@godwit/agent/control/hub-http'
import { afterEach, expect, test } from 'vitest'
import { Victim } from './victim.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** Answers the one file at once, and never ends: a byte now and a byte then, for as long as somebody listens. */
async function dripping(files: () => ReadonlyMap<string, Uint8Array>, slow: () => string | undefined) {
  server = createServer((request, response) => {
    const name = request.url!.slice('/meta/'.length)
    if (name !== slow()) {
      const found = files().get(name)
      return response.writeHead(found ? 200 : 404).end(found)
    }
    const drop = setInterval(() => response.write(' '), 5)
    response.on('close', () => clearInterval(drop))
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  // Long for whoever means well and sits on this machine; whoever does not never ends.
  return metadataOverHttp(url, fetch, 500)
}

test.each(['root', 'timestamp', 'snapshot', 'targets'])(
  '%s that drips for ever is given up',
  async (role) => {
    let slow: string | undefined
    const source = await dripping(
      () => victim.repository.files,
      () => slow,
    )
    const victim: Victim = new Victim(source)
    const { repository } = victim
    const goal = victim.lists('gauge', '1')
    repository.publish()
    expect(await victim.finds(goal)).toMatchObject({ trusted: true })

    repository.publish()
    const { root, snapshot } = repository
    const versions = {
      root: root.version + 1,
      snapshot: snapshot.version,
      targets: snapshot.meta['targets.json'].version,
    }
    slow = role === 'timestamp' ? 'timestamp.json' : `${versions[role as keyof typeof versions]}.${role}.json`
    await expect(victim.trust.refresh()).rejects.toMatchObject({ code: 'metadata-unavailable' })

    // It costs the attacker a socket and the device half a second: with an honest source all goes on.
    slow = undefined
    expect(await victim.finds(goal)).toMatchObject({ trusted: true })
  },
)
