import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProgram } from '@godwit/hub/cli/main'
import { loadConfig } from '@godwit/hub/config'
import { createHub, type Hub } from '@godwit/hub/wiring'
import { keyIdOf, keyOfSeed } from '@godwit/protocol/trust/key'

export type Outcome = { code: number; stdout: string; stderr: string }
export type Person = { name: string; key: string; pub: string; keyid: string }

/** A desk with files on it, and the `godwit` command in this process: what the people of a ceremony have before them. */
export class Desk {
  readonly directory: string
  readonly environment: Record<string, string | undefined>
  #hub: Hub | undefined

  constructor(directory: string) {
    this.directory = directory
    this.environment = {
      PATH: process.env['PATH'],
      GODWIT_CONFIG_DIR: join(directory, 'config'),
      GODWIT_PASSPHRASE: 'a long passphrase',
      NO_COLOR: '1',
    }
  }

  file(name: string): string {
    return join(this.directory, name)
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.file(name), content)
    return this.file(name)
  }

  json<T>(name: string): T {
    return JSON.parse(readFileSync(this.file(name), 'utf8')) as T
  }

  async try(...args: string[]): Promise<Outcome> {
    let stdout = ''
    let stderr = ''
    const streams = {
      environment: this.environment,
      stdout: (text: string) => {
        stdout += text
      },
      stderr: (text: string) => {
        stderr += text
      },
      tty: false,
      now: Date.now,
      signal: new AbortController().signal,
    }
    const code = await runProgram(streams, args)
    return { code, stdout, stderr }
  }

  async godwit<T = unknown>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.try(...args, '--json')
    if (code !== 0) throw new Error(`godwit ${args.join(' ')} ended with ${code}: ${stderr}`)
    return (stdout ? JSON.parse(stdout) : undefined) as T
  }

  /** The code of the error that it ends with, and its sentence. */
  async refused(...args: string[]): Promise<{ code: string; message: string }> {
    const { code, stderr } = await this.try(...args, '--json')
    if (code === 0) throw new Error(`godwit ${args.join(' ')} was not refused`)
    const last = stderr.trim().split('\n').at(-1)!
    return (JSON.parse(last) as { error: { code: string; message: string } }).error
  }

  /** Somebody whose key is a sealed file, from a seed that is this byte 32 times. */
  async person(name: string, byte: number): Promise<Person> {
    const seed = new Uint8Array(32).fill(byte)
    const from = this.write(`${name}.seed`, Buffer.from(seed).toString('hex'))
    const { path } = await this.godwit<{ path: string }>(
      ...['key', 'import', name, '--from', from, '--keys', this.file('keys')],
    )
    const pub = this.write(`${name}.pub.json`, JSON.stringify(await this.godwit('key', 'public', path)))
    return { name, key: path, pub, keyid: keyIdOf(keyOfSeed(seed)) }
  }

  /** Signs on everybody's own machine, assembles; answers the file that is ready for the hub. */
  async signedBy(document: string, people: readonly Person[], ...more: string[]): Promise<string> {
    const signatures: string[] = []
    for (const { name, key } of people) {
      const out = `${document}.${name}.sig.json`
      await this.godwit('sign', document, '--key', key, '--out', out)
      signatures.push(out)
    }
    const out = `${document}.signed.json`
    await this.godwit('trust', 'assemble', document, '--signature', ...signatures, '--out', out, ...more)
    return out
  }

  /** A hub in this process, on the state that `godwit hub init` made. */
  async startHub(state: string, fleet: string): Promise<Hub> {
    const quiet = { log: { level: 'silent' }, http: { port: 0 }, mqtt: { port: 0 } }
    this.#hub = await createHub(loadConfig({ fleet, stateDir: state, ...quiet }))
    await this.#hub.start()
    this.environment['GODWIT_URL'] = this.#hub.addresses.httpUrl
    return this.#hub
  }

  async stopHub(): Promise<void> {
    await this.#hub?.stop()
    this.#hub = undefined
  }

  bundle(name: string, files: Readonly<Record<string, string | Uint8Array>>): string {
    mkdirSync(this.file(name), { recursive: true })
    for (const [file, content] of Object.entries(files)) this.write(join(name, file), content)
    return this.file(name)
  }
}

/** A program that signs as an HSM would: the key is in it and never comes out. */
export function signerScript(seedHex: string, flaw = ''): string {
  return `
import { createPrivateKey, createPublicKey, sign, createHash } from 'node:crypto'
const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from('${seedHex}', 'hex')])
const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
const publicHex = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex')
let text = ''
for await (const part of process.stdin) text += part
const request = JSON.parse(text)
${flaw}
if (request.do === 'public') console.log(JSON.stringify({ public: publicHex }))
else console.log(JSON.stringify({ keyid: request.keyid, sig: sign(null, Buffer.from(request.message, 'base64'), key).toString('hex') }))
`
}
