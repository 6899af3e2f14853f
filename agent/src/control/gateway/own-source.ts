import { type FileHandle, open } from 'node:fs/promises'
import type { BlockSource } from '../download/block-source.ts'
import type { GatewayCache } from './cache.ts'
import type { Pulls } from './pulls.ts'

/**
 * A gateway's own downloads go through its own gateway: in a rollout its neighbours want the same at the same time, and
 * the link carries it once.
 */
export function ownGatewaySource(cache: GatewayCache, pulls: Pulls): BlockSource {
  return {
    name: 'own gateway',
    // The pull is charged; this is the same bytes again.
    cost: 'none',
    async fetch({ file, wanted, release, take, signal }) {
      const letGo = cache.hold(file.sha256)
      let handle: FileHandle | undefined
      try {
        const isHeld = cache.has(file.sha256)
        const pull = isHeld ? undefined : pulls.of(release, file)
        if (!isHeld && !pull)
          return { end: 'refused', code: 'no_space', detail: 'own gateway: no room for it' }
        for (const block of wanted) {
          if (pull && !(await orAborted(pull.arrived(block.index), signal)))
            return {
              end: 'retryable',
              code: 'link_lost',
              detail: 'own gateway: it could not be fetched',
              unreachable: true,
            }
          handle ??= await open(cache.paths.part(file.sha256)).catch(() =>
            open(cache.paths.blob(file.sha256)),
          )
          const bytes = Buffer.alloc(block.length)
          await handle.read(bytes, 0, block.length, block.offset)
          if (!(await take(block, bytes))) {
            cache.forget(file.sha256)
            return { end: 'refused', code: 'integrity', detail: 'own gateway: its copy is damaged' }
          }
        }
        return { end: 'complete' }
      } finally {
        letGo()
        await handle?.close()
      }
    },
  }
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
