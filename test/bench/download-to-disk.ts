import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@godwit/agent/control/clock'
import type { BlockSource } from '@godwit/agent/control/download/block-source'
import { httpSource } from '@godwit/agent/control/download/http-source'
import type { BundleFile } from '@godwit/protocol/release/release'
import { mintDeviceToken } from '@godwit/protocol/trust/device-token'
import { newDownloader } from '../support/new-downloader.ts'

export const fleet = 'test-fleet'

export function seedOfDevice(index: number): Uint8Array {
  return new Uint8Array(createHash('sha256').update(`bench device ${index}`).digest())
}

export function tokenOf(index: number, audience: 'http' | 'mqtt'): string {
  const issuedAt = Date.now()
  const claim = { fleet, deviceId: `d${index}`, audience, issuedAt, expiresAt: issuedAt + 600_000 }
  return mintDeviceToken(claim, seedOfDevice(index))
}

/** As device `d0`. */
export function overHttp(url: string): BlockSource {
  const headers = () => ({ authorization: `Bearer ${tokenOf(0, 'http')}`, 'x-godwit-device': 'd0' })
  return httpSource({ name: 'http', url, headers, fetch })
}

/** Seconds that the agent's own downloader takes into a directory of its own: checked, written, synced, journalled. */
export async function secondsToDisk(source: BlockSource, file: BundleFile): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'godwit-bench-'))
  const { downloader, release, close } = newDownloader(directory, { sources: [source], clock: systemClock })
  try {
    await downloader.plan(release, 'bundle', [file])
    const start = performance.now()
    for (let isHere = false; !isHere; ) {
      const end = await downloader.fetch(release, file, new AbortController().signal, () => {})
      if (end.end === 'failed') throw new Error(end.detail)
      isHere = end.end === 'complete'
    }
    return (performance.now() - start) / 1_000
  } finally {
    close()
    rmSync(directory, { recursive: true, force: true })
  }
}
