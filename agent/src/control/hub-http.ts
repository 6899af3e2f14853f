import { Fault } from '@godwit/protocol/fault'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import type { TrustedTime } from './clock.ts'
import type { Identity } from './identity.ts'
import type { FetchMetadata } from './trust/carrier.ts'

const tokenLifeMs = 15 * 60_000
const answerMsMax = 15_000

/** A password of a quarter of an hour, made by the device itself; the hub knows only the public key. */
export function tokenFor(identity: Identity, audience: 'mqtt' | 'http', time: TrustedTime): string {
  const { fleet, deviceId } = identity.enrolment
  const issuedAt = time.hubNowMs()
  return mintDeviceToken(
    { fleet, deviceId, issuedAt, expiresAt: issuedAt + tokenLifeMs, audience },
    identity.seed,
  )
}

export function httpHeaders(identity: Identity, time: TrustedTime): Record<string, string> {
  return {
    authorization: `Bearer ${tokenFor(identity, 'http', time)}`,
    'x-godwit-device': identity.enrolment.deviceId,
  }
}

/** The longest is an enrolment's, with a root document in base64. */
const answerBytesMax = 2_000_000

export type Answer = { status: number; ok: boolean; text: string }

/**
 * Sends JSON and reads the whole answer, within a time and up to a length: not even the hub may hold a device up or fill it.
 *
 * @param purpose ends "cannot reach the hub …"
 * @throws Fault `hub-unreachable`
 */
export async function postJson(
  url: URL,
  body: string,
  purpose: string,
  deps: { fetch: typeof fetch; headers?: Record<string, string>; signal?: AbortSignal },
): Promise<Answer> {
  try {
    const response = await deps.fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...deps.headers },
      body,
      signal: AbortSignal.any([AbortSignal.timeout(answerMsMax), ...(deps.signal ? [deps.signal] : [])]),
      // What it holds is for the hub that was named.
      redirect: 'error',
    })
    const text = new TextDecoder().decode(await upTo(response, answerBytesMax))
    return { status: response.status, ok: response.ok, text }
  } catch (cause) {
    throw new Fault('hub-unreachable', `cannot reach ${url.href} ${purpose}`, { cause })
  }
}

/** Asking the same again may help. */
export function isPassing({ status }: Answer): boolean {
  return status >= 500 || status === 408 || status === 429
}

/** @param withinMs for the whole of a document, integer milliseconds: one that drips for ever holds up all that wait behind it */
export function metadataOverHttp(url: string, fetcher: typeof fetch, withinMs = answerMsMax): FetchMetadata {
  return async (fileName, bytesMax) => {
    try {
      const response = await fetcher(new URL(`/meta/${fileName}`, url), {
        signal: AbortSignal.timeout(withinMs),
        redirect: 'error',
      })
      if (response.status === 404) {
        await response.body?.cancel()
        return null
      }
      if (!response.ok) throw new Error(`status ${response.status}`)
      return await upTo(response, bytesMax)
    } catch (cause) {
      throw new Fault('metadata-unavailable', `cannot fetch ${fileName}`, { cause })
    }
  }
}

/** Stops reading beyond the limit: endless data fills no memory. One byte more is kept, so that the client sees it. */
async function upTo(response: Response, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk as Uint8Array)
    bytes += (chunk as Uint8Array).length
    if (bytes > bytesMax) break
  }
  return new Uint8Array(Buffer.concat(chunks).subarray(0, bytesMax + 1))
}

/** The hub's clock, for tokens that the hub itself judges. Undefined when it does not answer. */
export async function hubTime(url: string, fetcher: typeof fetch): Promise<number | undefined> {
  try {
    const response = await fetcher(new URL('/api/v1/time', url), {
      signal: AbortSignal.timeout(answerMsMax),
      redirect: 'error',
    })
    const { time } = JSON.parse(new TextDecoder().decode(await upTo(response, answerBytesMax))) as {
      time?: unknown
    }
    const at = typeof time === 'string' ? Date.parse(time) : Number.NaN
    return Number.isFinite(at) ? at : undefined
  } catch {
    return undefined
  }
}
