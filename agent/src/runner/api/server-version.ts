import { readFileSync } from 'node:fs'

/** Of the agent, as the server metadata tells it. */
export function serverVersion(): string {
  const url = new URL('../../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(url, 'utf8')) as { version: string }).version
}
