/** The shape of pino's calls that control uses, so that tests and other hosts can bring their own. */
export type Log = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** What a log line says of something thrown: the chain of messages, without stacks that nobody reads at night. */
export function because(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  return thrown.cause === undefined ? thrown.message : `${thrown.message}: ${because(thrown.cause)}`
}

/** Work that must not bring the agent down, such as writing to a disk that may be full. */
export function attempt(log: Log, what: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    log.error({ because: because(error) }, what)
  }
}
