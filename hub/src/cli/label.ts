import { CliError } from './exit.ts'

export function labelOf(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new CliError('usage', 'not_a_label', `expected key=value, found ${JSON.stringify(text)}`)
  return [text.slice(0, at), text.slice(at + 1)]
}
