import { rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { Listeners } from '@godwit/agent/control/listeners'
import { silentLog } from '@godwit/agent/control/log'
import type { ApiConfig } from '@godwit/agent/runner/api/api-config'
import type { ApiOrder, FromRunner, ToRunner } from '@godwit/agent/runner/messages'
import type { SourceConfig } from '@godwit/agent/runner/sources/source'
import { freePort } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterEach } from 'vitest'
import { stage, temporaryFolder } from '../bundle-on-disk.ts'
import { Child } from '../child.ts'

const opened: Listeners[] = []
afterEach(() => {
  for (const listeners of opened.splice(0)) listeners.close()
})

export const limits: ApiConfig['limits'] = {
  bodyBytesMax: 100_000,
  elementsMax: 1_000,
  queueMax: 64,
  deadlineMs: 10_000,
  connectionsMax: 64,
}

export type ApiRunner = {
  child: Child
  url: string
  socket: string
  listeners: Listeners
  windows: () => Extract<FromRunner, { type: 'window' }>[]
}

/** What control does with a listener, done with a bare runner. */
export const lend = (child: Child) => ({
  listen(api: ApiOrder, handle: unknown) {
    child.process.send({ type: 'listen', api } satisfies ToRunner, handle as never, () => {})
  },
})

export async function serving(child: Child, source: SourceConfig, order = stage()): Promise<void> {
  const loaded = await child.ask(order, 'loaded')
  if (loaded.type === 'failed') throw new Error(`${loaded.code}: ${loaded.detail}`)
  await child.ask({ type: 'serve', source, windowMs: 100 }, 'serving')
}

/** A real runner that serves a real model over a port and a Unix socket. */
export async function startApi(
  change: Partial<ApiConfig> & { source?: SourceConfig; order?: ReturnType<typeof stage> } = {},
): Promise<ApiRunner> {
  const { source = { kind: 'api', bufferMax: 100 }, order = stage(), ...config } = change
  const child = new Child()
  await serving(child, source, order)
  const port = await freePort(20_000 + Math.floor(Math.random() * 10_000))
  const socket = join(temporaryFolder(), 'api.sock')
  const listen = { host: '127.0.0.1', port }
  const listeners = new Listeners({ listen, socket, limits, ...config }, silentLog, () => {})
  opened.push(listeners)
  listeners.lendTo(lend(child))
  await untilConnects(port)
  const windows = () => child.heard.filter((message) => message.type === 'window')
  return { child, url: `http://127.0.0.1:${port}`, socket, listeners, windows }
}

/** The runner listens some time after it was told to, and says nothing about it. */
export async function untilConnects(port: number): Promise<void> {
  for (;;) {
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = createConnection(port, '127.0.0.1', () => resolve(true))
      socket.once('error', () => resolve(false)).once('connect', () => socket.destroy())
    })
    if (isThere) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export function removeSocket(path: string): void {
  rmSync(path, { force: true })
}
