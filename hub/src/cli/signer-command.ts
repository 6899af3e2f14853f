import { spawn } from 'node:child_process'
import { fromHex } from '@godwit/protocol/trust/encoding'
import { keyIdOf } from '@godwit/protocol/trust/key'
import type { Shell } from './command.ts'
import { CliError } from './exit.ts'
import { keyOfHex } from './public-keys.ts'
import type { Signer } from './signers.ts'

/** Somebody may have to find a token and touch it. */
const patienceMs = 5 * 60_000
const answerBytesMax = 65_536

/**
 * A key that never comes near this program (docs/trust.md, "Keys in an HSM or KMS"). The command is run once per
 * request, with one JSON object on its standard input, and answers one on its standard output:
 *   {"do":"public"}                                → {"public": hex}
 *   {"do":"sign","keyid": hex,"message": base64}   → {"keyid": hex, "sig": hex}
 */
export async function commandSigner(shell: Shell, command: string): Promise<Signer> {
  const { public: publicHex } = await ask(shell, command, { do: 'public' })
  const key = keyOfHex(publicHex)
  if (!key) throw failed(command, 'expected an Ed25519 public key as 64 hex digits in "public"', publicHex)
  const keyid = keyIdOf(key)
  return {
    key,
    keyid,
    async sign(message) {
      const request = { do: 'sign', keyid, message: Buffer.from(message).toString('base64') }
      const answer = await ask(shell, command, request)
      if (answer['keyid'] !== keyid) throw failed(command, `expected keyid ${keyid}`, answer['keyid'])
      const signature = typeof answer['sig'] === 'string' ? fromHex(answer['sig']) : undefined
      if (signature?.length !== 64)
        throw failed(command, 'expected 64 bytes as hex digits in "sig"', answer['sig'])
      return signature
    },
  }
}

function ask(shell: Shell, command: string, request: object): Promise<Record<string, unknown>> {
  // The signer has no business with the hub's token or the passphrase of other keys.
  const { GODWIT_TOKEN: _token, GODWIT_PASSPHRASE: _passphrase, ...env } = shell.environment
  const child = spawn(command, { shell: true, stdio: ['pipe', 'pipe', 'inherit'], env, signal: shell.signal })
  const impatience = setTimeout(() => child.kill(), patienceMs)
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    if (text.length <= answerBytesMax) text += part
  })
  // A command that does not read to the end is judged by what it answers.
  child.stdin.on('error', () => {})
  child.stdin.end(`${JSON.stringify(request)}\n`)
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(failed(command, 'expected it to start', cause.message)))
    child.on('close', (code, signal) => {
      clearTimeout(impatience)
      if (code !== 0) return reject(failed(command, 'expected exit status 0', signal ?? code))
      const answer = parsed(text)
      if (answer) resolve(answer)
      else reject(failed(command, 'expected one JSON object on standard output', text.slice(0, 80)))
    })
  })
}

function parsed(text: string): Record<string, unknown> | undefined {
  if (text.length > answerBytesMax) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function failed(command: string, expected: string, found: unknown): CliError {
  return new CliError(
    'failure',
    'signer_failed',
    `signer ${JSON.stringify(command)}: ${expected}, found ${JSON.stringify(found) ?? 'nothing'}`,
    'docs/trust.md says what a signer is asked and must answer',
  )
}
