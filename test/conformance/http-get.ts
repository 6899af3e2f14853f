import { Fault } from '@godwit/protocol/fault'

/** Slow retrieval: a source that drips gets this long for one file. Generous for 5 MB over a bad link. */
const deadlineMs = 120_000

/**
 * Null where the source says that there is no such file. Stops reading soon after `bytesMax`, so endless data
 * costs little; what is too long is for the caller to refuse.
 *
 * @param name percent-encoded, relative to `baseUrl`
 */
export async function get(baseUrl: string, name: string, bytesMax: number): Promise<Uint8Array | null> {
  const url = `${baseUrl.replace(/\/+$/, '')}/${name}`
  const response = await fetch(url, { signal: AbortSignal.timeout(deadlineMs) })
  if (response.status === 404) {
    await response.body?.cancel()
    return null
  }
  if (!response.ok)
    throw new Fault('source-unavailable', `${url}: expected status 200, found ${response.status}`)
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk)
    length += chunk.length
    if (length > bytesMax) break
  }
  return Buffer.concat(chunks)
}
