import { Fault } from '@godwit/protocol/fault'

/** What is told of something thrown, with its causes: the reason is often in the innermost. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = error instanceof Fault ? `${error.code}: ` : ''
  return code + error.message + (error.cause === undefined ? '' : `: ${textOf(error.cause)}`)
}
