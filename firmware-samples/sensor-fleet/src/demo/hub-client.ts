/** The hub's API as the story uses it: JSON in, JSON out, the same that anybody with a token can ask for. */
export class HubClient {
  readonly url: string
  readonly #token: string

  constructor(url: string, token: string) {
    this.url = url
    this.#token = token
  }

  get<T>(path: string): Promise<T> {
    return this.#ask<T>('GET', path)
  }

  post<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
    return this.#ask<T>('POST', path, body, headers)
  }

  /** Follows `nextCursor` to the end. */
  async all<T>(path: string): Promise<T[]> {
    const items: T[] = []
    let cursor: string | undefined
    do {
      const joint = path.includes('?') ? '&' : '?'
      const page = await this.get<{ items: T[]; nextCursor?: string }>(
        cursor ? `${path}${joint}cursor=${cursor}` : path,
      )
      items.push(...page.items)
      cursor = page.nextCursor
    } while (cursor)
    return items
  }

  async #ask<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<T> {
    const answer = await fetch(this.url + path, {
      method,
      headers: {
        ...headers,
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 500)}`)
    return (text ? JSON.parse(text) : undefined) as T
  }
}
