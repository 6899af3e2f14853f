import { Agent, request as ask } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'

const noBody = new Set([204, 205, 304])

/**
 * `fetch` that believes one authority and no other, which the built-in one cannot be told. It does what the command line
 * asks of it: bodies of text, bytes or a stream, and no redirects, which would carry the token elsewhere.
 *
 * @param ca PEM
 */
export function privateFetch(ca: string): typeof fetch {
  // Kept alive: publishing asks for one file after another.
  const agent = new Agent({ ca, keepAlive: true })
  return (input, { method = 'GET', headers, body, signal } = {}) => {
    const url = new URL(input instanceof Request ? input.url : input)
    // Plain HTTP would be believed unasked, by whoever changed the address.
    if (url.protocol !== 'https:')
      return Promise.reject(new TypeError(`${url.origin} is not https, and a CA is set for it`))
    return new Promise((resolve, reject) => {
      const options = {
        agent,
        method,
        headers: Object.fromEntries(new Headers(headers)),
        ...(signal && { signal }),
      }
      const outgoing = ask(url, options, (incoming) => {
        const status = incoming.statusCode ?? 0
        if (status >= 300 && status < 400 && status !== 304) {
          incoming.destroy()
          reject(new TypeError(`${url.href} redirects, which a hub must not`))
          return
        }
        const isEmpty = method === 'HEAD' || noBody.has(status)
        if (isEmpty) incoming.resume()
        // A refusal may come before the whole of an upload went out; the rest would wait for a reader for ever.
        incoming.once('end', () => {
          if (!outgoing.writableFinished) outgoing.destroy()
        })
        const pairs = Object.entries(incoming.headersDistinct).flatMap(([name, values = []]) =>
          values.map((value): [string, string] => [name, value]),
        )
        const stream = isEmpty ? null : (Readable.toWeb(incoming) as ReadableStream)
        resolve(new Response(stream, { status, headers: pairs }))
      })
      outgoing.once('error', reject)
      if (body instanceof ReadableStream)
        pipeline(Readable.fromWeb(body as NodeReadableStream), outgoing).catch(reject)
      else outgoing.end(body as string | Uint8Array | undefined)
    })
  }
}
