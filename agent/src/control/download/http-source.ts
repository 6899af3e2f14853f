import type { BundleFile } from '@godwit/protocol/release/release'
import type { BlockSource, SourceEnd } from './block-source.ts'
import { bytesOf, runsOf, type Wanted } from './plan.ts'

/** Large enough that the round trip stops to matter, small enough that a cut costs little (5.5: 1 MiB parts). */
const rangeBytesMax = 1_048_576
const rangeMsMax = 60_000

/** HTTP Range from the hub or any mirror of it: digests rule, so the mirror need not be trusted. */
export function httpSource(options: {
  url: string
  headers: () => Record<string, string>
  fetch: typeof fetch
}): BlockSource {
  return {
    name: 'http',
    async fetch(file, wanted, take, signal) {
      for (const run of runsOf(wanted, rangeBytesMax)) {
        const end = await fetchRun(options, file, run, take, signal)
        if (end.end !== 'complete') return end
      }
      return { end: 'complete' }
    },
  }
}

async function fetchRun(
  options: { url: string; headers: () => Record<string, string>; fetch: typeof fetch },
  file: BundleFile,
  run: readonly Wanted[],
  take: (block: Wanted, bytes: Uint8Array) => Promise<boolean>,
  signal: AbortSignal,
): Promise<SourceEnd> {
  const first = run[0]!
  const until = first.offset + bytesOf(run)
  const limit = AbortSignal.any([signal, AbortSignal.timeout(rangeMsMax)])
  try {
    const response = await options.fetch(new URL(`/blobs/sha256/${file.sha256}`, options.url), {
      headers: { ...options.headers(), range: `bytes=${first.offset}-${until - 1}` },
      signal: limit,
      redirect: 'error',
    })
    if (response.status !== 206 && response.status !== 200) {
      await response.body?.cancel()
      return ended(response.status, file.sha256)
    }
    // 200 is the whole file: skip to our part, and read no byte beyond it.
    const skip = response.status === 200 ? first.offset : 0
    return await readBlocks(response, skip, run, take)
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    return {
      end: 'retryable',
      code: limit.aborted ? 'slow_source' : 'link_lost',
      detail: `http: ${(cause as Error).message}`,
    }
  }
}

async function readBlocks(
  response: Response,
  skip: number,
  run: readonly Wanted[],
  take: (block: Wanted, bytes: Uint8Array) => Promise<boolean>,
): Promise<SourceEnd> {
  const wanted = [...run]
  let buffered = Buffer.alloc(0)
  let toSkip = skip
  for await (const chunk of response.body ?? []) {
    let bytes = Buffer.from(chunk as Uint8Array)
    if (toSkip > 0) {
      const skipped = Math.min(toSkip, bytes.length)
      bytes = bytes.subarray(skipped)
      toSkip -= skipped
    }
    buffered = buffered.length === 0 ? bytes : Buffer.concat([buffered, bytes])
    while (wanted.length > 0 && buffered.length >= wanted[0]!.length) {
      const block = wanted.shift()!
      const isRight = await take(block, buffered.subarray(0, block.length))
      if (!isRight)
        return {
          end: 'retryable',
          code: 'integrity',
          detail: `http: block ${block.index} has the wrong digest`,
        }
      buffered = buffered.subarray(block.length)
    }
    // Endless data: the rest is not ours to read.
    if (wanted.length === 0) break
  }
  if (wanted.length === 0) return { end: 'complete' }
  return { end: 'retryable', code: 'link_lost', detail: `http: ended ${bytesOf(wanted)} bytes short` }
}

/** 5.5: the hub must be asked again about what it will not give; everything else may pass. */
function ended(status: number, sha256: string): SourceEnd {
  const detail = `http: ${status} for blob ${sha256}`
  const isFinal = [401, 403, 404, 410, 416].includes(status)
  return isFinal
    ? { end: 'refused', code: 'internal', detail }
    : { end: 'retryable', code: 'link_lost', detail }
}
