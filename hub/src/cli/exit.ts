/** Exit codes are API (README, "Exit codes"). */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  auth: 4,
  conflict: 5,
  verification: 6,
  rolloutDegraded: 7,
  timeout: 8,
  interrupted: 130,
} as const

export type ExitName = keyof typeof exitCodes

/** What ends a command: one line that says what, one that says how to mend it. */
export class CliError extends Error {
  readonly exit: ExitName
  readonly hint: string | undefined
  readonly code: string

  constructor(exit: ExitName, code: string, message: string, hint?: string) {
    super(message)
    this.exit = exit
    this.code = code
    this.hint = hint
  }
}
