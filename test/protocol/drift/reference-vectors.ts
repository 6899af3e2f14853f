import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The vectors beside the repository, or null where a checkout has none. */
// biome-ignore lint/suspicious/noExplicitAny: the vectors are loose JSON and only tests read them
export function referenceVectors(name: string): any {
  const path = fileURLToPath(new URL(`../../../../shared/vectors/${name}`, import.meta.url))
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null
}

/** Largest relative difference allowed between two implementations of the same formula. */
export function closeTo(expected: number): { asymmetricMatch(actual: unknown): boolean; toString(): string } {
  return {
    asymmetricMatch: (actual) =>
      typeof actual === 'number' &&
      Math.abs(actual - expected) <= 1e-9 * Math.max(Math.abs(expected), 1e-300),
    toString: () => `within 1e-9 of ${expected}`,
  }
}
