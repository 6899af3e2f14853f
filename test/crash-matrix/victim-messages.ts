/** What the matrix and a victim say to each other. Plain JSON. */
export type Engine = 'light' | 'onnx'

export type RunOrder = {
  stateDir: string
  token: string
  engine: Engine
  /** Where the device's clock stands when it starts. */
  nowMs: number
  source: { kind: 'replay'; path: string; intervalMs: number }
}

export type ToVictim = ({ type: 'run' } & RunOrder) | { type: 'stop' }

export type Said = {
  type: 'said'
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
  fields: Record<string, unknown>
}

export type FromVictim =
  | { type: 'ready'; main: number; pool: number }
  | { type: 'running' }
  | { type: 'start-failed'; because: string }
  | Said
  | { type: 'stopped' }
  | { type: 'stop-failed'; because: string }

/** How much faster than life a victim's clock runs. */
export const hurry = 10
