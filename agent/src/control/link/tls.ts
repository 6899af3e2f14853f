import { readFileSync } from 'node:fs'
import { request as ask } from 'node:https'
import { Readable } from 'node:stream'
import { Fault } from '@godwit/protocol/fault'
import type { AgentConfig } from '../../config.ts'
import { readIfThere } from '../files.ts'

/** What the device shows and whom it believes, as Node's TLS and mqtt.js both take it. */
export type TlsMaterial = { ca?: Buffer | string; cert?: Buffer; key?: Buffer }

/** Read at each connection, so that a certificate that was renewed needs no restart. */
export function tlsMaterial({ caFile, certFile, keyFile }: AgentConfig['tls']): TlsMaterial {
  return {
    ...(caFile !== undefined && { ca: read(caFile) }),
    ...(certFile !== undefined && { cert: read(certFile) }),
    ...(keyFile !== undefined && { key: read(keyFile) }),
  }
}

/** The configuration comes first; where it says nothing, what the device got when it joined a hub with an authority. */
export class HubTls {
  readonly #config: AgentConfig['tls']
  readonly #pairFile: string
  /** PEM of the hub's own authority. */
  believed: string | undefined

  constructor(config: AgentConfig['tls'], pairFile: string, believed?: string) {
    this.#config = config
    this.#pairFile = pairFile
    this.believed = believed
  }

  readonly material = (): TlsMaterial => {
    const given = tlsMaterial(this.#config)
    const pair = given.cert ? undefined : readIfThere(this.#pairFile)
    return {
      ...(this.believed !== undefined && { ca: this.believed }),
      // Key and certificate are in the one file; each reader takes its own.
      ...(pair && { cert: pair, key: pair }),
      ...given,
    }
  }
}

function read(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new Fault('tls-file-unreadable', `cannot read ${path}`, { cause })
  }
}

const noBody = new Set([204, 205, 304])

/**
 * `fetch` with a CA and a client certificate, which the built-in one cannot be given. It does what the agent asks of
 * it: text bodies, signals, and no redirects, since a hub has no business to send a device elsewhere.
 */
export function fetchOver(material: () => TlsMaterial, plain: typeof fetch): typeof fetch {
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input)
    if (url.protocol !== 'https:') return plain(input, init)
    const held = material()
    if (!held.ca && !held.cert) return plain(input, init)
    const { method = 'GET', headers, body, signal } = init
    const options = {
      ...held,
      // A connection of its own for each: no pool that would outlive a changed certificate.
      agent: false as const,
      method,
      headers: Object.fromEntries(new Headers(headers)),
      ...(signal && { signal }),
    }
    return await new Promise<Response>((resolve, reject) => {
      const outgoing = ask(url, options, (incoming) => {
        const status = incoming.statusCode ?? 0
        if (status >= 300 && status < 400 && status !== 304) {
          incoming.destroy()
          reject(new TypeError(`${url.href} redirects, which a hub must not`))
          return
        }
        const stream = noBody.has(status) ? null : Readable.toWeb(incoming)
        if (!stream) incoming.resume()
        const pairs = Object.entries(incoming.headersDistinct).flatMap(([name, values = []]) =>
          values.map((value): [string, string] => [name, value]),
        )
        resolve(new Response(stream as ReadableStream | null, { status, headers: pairs }))
      })
      outgoing.once('error', reject)
      outgoing.end(typeof body === 'string' ? body : undefined)
    })
  }
}
