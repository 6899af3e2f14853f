/** What the story claims, and whether it was seen. A check without an observation has failed. */
export type Check = { name: string; held: boolean; seen: string }

export class Checks {
  readonly all: Check[] = []
  readonly #tell: (text: string) => void

  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  add(name: string, held: boolean, seen: string): boolean {
    this.all.push({ name, held, seen })
    this.#tell(`${held ? '✔' : '✖'} ${name}: ${seen}`)
    return held
  }

  get allHeld(): boolean {
    return this.all.length > 0 && this.all.every((check) => check.held)
  }
}

/** Waits until `look` returns something, asking every `everyMs`; the deadline makes a hang a failed check. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  {
    withinMs = 120_000,
    everyMs = 200,
    signal,
  }: { withinMs?: number; everyMs?: number; signal?: AbortSignal } = {},
): Promise<T> {
  const until = performance.now() + withinMs
  let lastError: unknown
  for (;;) {
    signal?.throwIfAborted()
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
    } catch (error) {
      // A process that restarts refuses for a moment; the deadline decides.
      lastError = error
    }
    if (performance.now() > until) {
      throw new Error(`waited ${Math.round(withinMs / 1000)} s for ${what}`, { cause: lastError })
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
