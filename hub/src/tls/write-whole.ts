import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The file is the old one or the new one, whole, whenever the power goes. */
export async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const aside = `${path}.new`
  const file = await open(aside, 'w', mode)
  try {
    // A file left over from a start that was cut off keeps its mode otherwise.
    await file.chmod(mode)
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(aside, path)
  const directory = await open(dirname(path), 'r')
  await directory.sync().finally(() => directory.close())
}
