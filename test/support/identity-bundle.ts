import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identityGolden, identityModel, identityPipeline } from '../hub/support/bundle.ts'

/** Files of a bundle directory that `godwit version publish` accepts: the smallest model that a pipeline can feed. */
export const identityFiles: Readonly<Record<string, string | Uint8Array>> = {
  'model.onnx': identityModel(),
  'golden.json': JSON.stringify(identityGolden),
  'pipeline.json': JSON.stringify(identityPipeline),
}

export function writeFiles(directory: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  mkdirSync(directory, { recursive: true })
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
  return directory
}

/**
 * The same model with ballast of that many bytes that no compression of a link could make smaller.
 *
 * @param seed another one gives other bytes
 */
export function largeModel(bytes: number, seed = 1): Uint8Array {
  const rawData = new Uint8Array(bytes)
  const words = new Uint32Array(rawData.buffer)
  let state = seed
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    // Exponents of ordinary size: no NaN, which a runtime may treat as it likes.
    words[i] = (state & 0x007f_ffff) | 0x3f00_0000
  }
  return identityModel({ initializer: [{ name: 'ballast', dims: [bytes / 4], dataType: 1, rawData }] })
}
