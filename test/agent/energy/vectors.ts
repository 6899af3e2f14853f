import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const path = fileURLToPath(new URL('../../../../shared/vectors/drift-energy.json', import.meta.url))

/** The shared vectors, or undefined in a checkout without them; tests that need them skip then. */
export const vectors: Vectors | undefined = existsSync(path)
  ? (JSON.parse(readFileSync(path, 'utf8')) as Vectors)
  : undefined

interface Vectors {
  readonly energy: readonly {
    name: string
    input?: unknown
    expected?: unknown
    slope?: number
    idle?: number
  }[]
  readonly boards: { readonly rows: readonly { board: string; idle_W: number; stress_W: number }[] }
}
