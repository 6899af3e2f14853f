import { vi } from 'vitest'

/** Until `look` no longer throws. On its own `vi.waitFor` gives up after a second, which a busy machine may well take. */
export function waitFor<T>(look: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(look, { timeout: 30_000, interval: 20 })
}
