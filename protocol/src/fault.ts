/** Something we could not do. `code` is for machines and stays stable; the message is for a person at night. */
export class Fault extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'Fault'
    this.code = code
  }
}
