import { readFileSync } from 'node:fs'

/** Of this package; the same file serves source and build, which lie equally deep. */
export const version: string = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
).version
