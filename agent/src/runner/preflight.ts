import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import type { OpenSession } from './load.ts'

/**
 * A model of 273 bytes whose convolution and product take the vector instructions that a board may lack: both kernels
 * are all ones, so a picture of ones (8 by 8) answers sixteen times 9 * 36.
 */
export const preflightModel = Buffer.from(
  'CAg6hgIKMQoCa3MSAWsiD0NvbnN0YW50T2ZTaGFwZSoXCgV2YWx1ZSoLCgEBEAEiBAAAgD+gAQQKDwoBeAoBaxIBYyIEQ29udgoPCgFjEgFmIgdGbGF0' +
    'dGVuCjEKAndzEgF3Ig9Db25zdGFudE9mU2hhcGUqFwoFdmFsdWUqCwoBARABIgQAAIA/oAEEChEKAWYKAXcSAW0iBk1hdE11bAoMCgFtEgF5IgRSZWx1' +
    'EglwcmVmbGlnaHQqDwoBBBAHOgQBAQMDQgJrcyoNCgECEAc6AiQQQgJ3c1obCgF4EhYKFAgBEhAKAggBCgIIAQoCCAgKAggIYhMKAXkSDgoMCAESCAoC' +
    'CAEKAggQQgQKABAN',
  'base64',
)
const answer = 324
const answers = 16

/**
 * Whether the engine can load and run anything on this board at all. On some it dies of an illegal instruction, which
 * no `catch` sees: for a process that nobody else needs.
 *
 * @throws Fault when it answers wrong or not
 */
export async function preflight(open: OpenSession): Promise<void> {
  // A name of its own: where the engine dies, the file stays behind.
  const folder = mkdtempSync(join(tmpdir(), 'godwit-preflight-'))
  const path = join(folder, 'preflight.onnx')
  writeFileSync(path, preflightModel)
  try {
    const input = { dtype: 'float32' as const, shape: [1, 1, 8, 8], data: new Array<number>(64).fill(1) }
    const opened = await open(path, ['cpu'], 1, { inputs: { x: input }, outputs: {} })
    if (!opened.ok) throw new Fault('preflight-failed', opened.detail)
    const session = opened.value
    const x = session.tensor('float32', input.shape, Float32Array.from(input.data))
    const { y } = await session.run({ x }, ['y'])
    const got = Array.from(y!.data, Number)
    if (got.length !== answers || got.some((value) => value !== answer))
      throw new Fault(
        'preflight-failed',
        `the engine answers ${got.join(' ')}, expected ${answers} times ${answer}`,
      )
    await session.release()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
