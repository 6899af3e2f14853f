import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('../..', import.meta.url))

/** Every page that somebody may read, relative to the repository. */
export const markdownPages = globSync('**/*.md', {
  cwd: repository,
  exclude: (path) => path.includes('node_modules') || path.endsWith('dist'),
}).sort()
