import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) console.warn('TLS tests are skipped: no openssl command to make certificates with')

export type Pair = { certFile: string; keyFile: string }

/** An authority of a test's own, by the recipe of docs/tls.md. */
export class Authority {
  readonly caFile: string
  readonly #keyFile: string
  readonly #directory: string
  #issued = 0

  constructor(directory: string, name = 'plant') {
    this.#directory = directory
    this.caFile = join(directory, `${name}-ca.pem`)
    this.#keyFile = join(directory, `${name}-ca.key`)
    const ca = [
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      '-addext',
      'keyUsage=critical,keyCertSign,cRLSign',
    ]
    const out = ['-keyout', this.#keyFile, '-out', this.caFile]
    openssl('req', '-x509', ...newKey, ...out, '-days', '3650', '-subj', `/CN=${name} CA`, ...ca)
  }

  issue(commonName: string, use: 'serverAuth' | 'clientAuth'): Pair {
    const base = join(this.#directory, `${++this.#issued}-${commonName}`)
    const pair = { certFile: `${base}.pem`, keyFile: `${base}.key` }
    const names = use === 'serverAuth' ? 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' : ''
    writeFileSync(`${base}.ext`, `basicConstraints=CA:FALSE\nextendedKeyUsage=${use}\n${names}`)
    openssl('req', ...newKey, '-keyout', pair.keyFile, '-out', `${base}.csr`, '-subj', `/CN=${commonName}`)
    const signer = ['-CA', this.caFile, '-CAkey', this.#keyFile, '-CAcreateserial']
    const files = ['-in', `${base}.csr`, '-out', pair.certFile, '-extfile', `${base}.ext`]
    openssl('x509', '-req', ...files, ...signer, '-days', '365')
    return pair
  }
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' })
}
