import type { Outcome } from './cell.ts'
import type { Template } from './lane.ts'
import type { Cell } from './places.ts'

export type Job = {
  type: 'live'
  lane: number
  directory: string
  cell: Cell
  template?: Template
  /** Every path of the story that a full disk would refuse to write. */
  fullPaths: readonly string[]
}

export type ToWorker = Job | { type: 'close' }

export type FromWorker =
  | { type: 'lived'; lane: number; outcome: Outcome }
  | { type: 'broken'; lane: number; because: string }
