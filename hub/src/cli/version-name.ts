import { CliError } from './exit.ts'

/** A version as every command takes it. */
export function versionOf(text: string): { model: string; version: string } {
  const [model, version, ...more] = text.split('@')
  if (!model || !version || more.length > 0) {
    throw new CliError('usage', 'not_a_version', `expected MODEL@VERSION, found ${JSON.stringify(text)}`)
  }
  return { model, version }
}
