import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Power may fail between any two calls: the bytes are on disk before the name points at them, and the name is on
 * disk before the caller goes on. What a cut leaves aside ends in `.tmp`, which no reader takes for a document.
 */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const aside = join(dirname(path), `.${basename(path)}.tmp`)
  const file = await open(aside, 'w')
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(aside, path)
  await syncDirectory(dirname(path))
}

export async function removeDurably(path: string): Promise<void> {
  await rm(path, { force: true })
  await syncDirectory(dirname(path))
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
