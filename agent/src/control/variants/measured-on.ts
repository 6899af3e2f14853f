import { createHash } from 'node:crypto'
import { arch, availableParallelism, cpus, totalmem } from 'node:os'
import type { Runtime } from '../../runner/session/session.ts'

/** What figures were taken with; when any of it changes they say nothing any more. */
export type Circumstances = {
  runtime: Runtime
  executionProviders: readonly string[]
  prefer: string
  threads: number
  nice: number
  cpus?: string
}

/** A name for the circumstances: the board and its runtime included, clocks and loads not. */
export function measuredOn(circumstances: Circumstances): string {
  const board = {
    arch: arch(),
    cpu: cpus()[0]?.model ?? '',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
  }
  const text = JSON.stringify({ ...circumstances, board, node: process.versions.node })
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
