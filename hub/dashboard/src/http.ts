/** What the hub answers when it refuses (RFC 9457). */
export class Problem extends Error {
  readonly status: number
  readonly hint: string | undefined

  constructor(status: number, message: string, hint?: string) {
    super(message)
    this.name = 'Problem'
    this.status = status
    this.hint = hint
  }
}

export function isUnauthenticated(error: unknown): boolean {
  return error instanceof Problem && error.status === 401
}

export function isRefusal(error: unknown): boolean {
  return error instanceof Problem && error.status >= 400 && error.status < 500
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, {
    headers: { accept: 'application/json' },
    ...(signal ? { signal } : {}),
  })
  return (await checked(response)).json() as Promise<T>
}

export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  return (await checked(await fetch(path, signal ? { signal } : {}))).text()
}

export async function post(path: string, body: unknown): Promise<void> {
  await send('POST', path, body)
}

/** The header is what another site cannot send: it stands between a cookie and a forged request. */
export async function send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const response = await fetch(path, {
    method,
    headers: { 'x-godwit-csrf': '1', ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await (await checked(response)).text()
  return (text ? JSON.parse(text) : undefined) as T
}

async function checked(response: Response): Promise<Response> {
  if (response.ok) return response
  const problem = await response.json().catch(() => ({}))
  const text = (key: string) => (typeof problem[key] === 'string' ? (problem[key] as string) : undefined)
  const said = text('detail') ?? text('title') ?? `The hub answered ${response.status}.`
  throw new Problem(response.status, [said, ...wrongFields(problem.errors)].join(' '), text('hint'))
}

/** Which fields, and what is wrong with each. */
function wrongFields(errors: unknown): string[] {
  if (!Array.isArray(errors)) return []
  return errors.map(
    ({ pointer, parameter, detail }) =>
      `${String(pointer ?? parameter ?? '').replace(/^#\/?/, '')}: ${String(detail)}.`,
  )
}
