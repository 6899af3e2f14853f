/** An answer that is no success. The Open Inference Protocol wants `{"error": text}`, and never problem+json. */
export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.name = 'ApiError'
    this.status = status
  }
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, message)
}
