import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { Fault } from '@godwit/protocol/fault'
import type { Logger } from 'pino'
import type { HubConfig } from '../config.ts'
import { type Authority, authorityOf, leafMs, newAuthority } from './authority.ts'
import { type Certificates, openCertificates } from './certificates.ts'
import { writeWhole } from './write-whole.ts'

/** Milliseconds. Soon after a clock that was wrong is put right, since nobody believes what was made in between. */
const lookEveryMs = 60_000

/** Where a hub keeps what it has made itself. */
export function tlsPathsIn(stateDir: string) {
  const directory = join(stateDir, 'tls')
  return {
    directory,
    authority: join(directory, 'ca.pem'),
    authorityKey: join(directory, 'ca.key'),
    /** Certificate, authority and key in one, so that no power cut leaves two halves. */
    server: join(directory, 'server.pem'),
  }
}
export type TlsPaths = ReturnType<typeof tlsPathsIn>

/** Undefined: there is none yet. @throws Fault `bad-authority`: a new one would be a stranger to every device. */
export async function readAuthority(paths: TlsPaths): Promise<Authority | undefined> {
  // The hub's own is made last, so where that is there was an authority, and devices know it.
  if (!existsSync(paths.authority) && !existsSync(paths.server)) return undefined
  try {
    const { mode } = await stat(paths.authorityKey)
    if ((mode & 0o077) !== 0)
      throw new Error(`its mode is ${(mode & 0o777).toString(8)}, so others may read it; expected 600`)
    const [certificate, key] = await Promise.all(
      [paths.authority, paths.authorityKey].map((path) => readFile(path, 'utf8')),
    )
    return authorityOf({ certificate: certificate!, key: key! })
  } catch (cause) {
    const detail = `cannot use ${paths.authority} with ${paths.authorityKey}: ${(cause as Error).message}`
    throw new Fault('bad-authority', `${detail}. Restore both from a backup.`, { cause })
  }
}

export async function openAuthority(paths: TlsPaths, fleet: string, now: number): Promise<Authority> {
  const found = await readAuthority(paths)
  if (found) return found
  const made = await newAuthority(fleet, now)
  await mkdir(paths.directory, { recursive: true, mode: 0o700 })
  // The certificate last: before it is there, nobody has heard of this authority, and the next start makes another.
  await writeWhole(paths.authorityKey, made.key, 0o600)
  await writeWhole(paths.authority, made.certificate, 0o644)
  return authorityOf(made)
}

export type HubCertificates = Certificates & { authority: Authority }

/** Certificates that nobody has to think of: made at the first start, renewed while the hub runs. */
export async function openHubCertificates(
  config: HubConfig,
  log: Logger,
  now: () => number,
): Promise<HubCertificates> {
  const paths = tlsPathsIn(config.stateDir)
  const authority = await openAuthority(paths, config.fleet, now())
  const names = namesOf(config)

  async function renew(): Promise<void> {
    const held = await readFile(paths.server, 'utf8').catch(() => '')
    if (!isDue(held, authority, names, now())) return
    const { certificate, key } = await authority.issueServer(names, now())
    // With the authority behind it: a device that knows only its digest finds the whole of it in the handshake.
    await writeWhole(paths.server, certificate + authority.certificate + key, 0o600)
    log.info({ names }, 'TLS: made a certificate for this hub')
  }

  await renew()
  const { server: certFile, authority: caFile } = paths
  const files = await openCertificates({ ...config.tls, certFile, keyFile: certFile, caFile }, log, now)
  async function reload(): Promise<boolean> {
    try {
      await renew()
    } catch (err) {
      log.error({ err }, 'TLS: cannot make a new certificate; the one before stays')
    }
    return files.reload()
  }
  const timer = setInterval(() => void reload(), lookEveryMs)
  timer.unref()
  return {
    ...files,
    authority,
    reload,
    stop() {
      clearInterval(timer)
      files.stop()
    },
  }
}

/** Every name and address by which this hub says it can be reached, and loopback. The first is its common name. */
export function namesOf({ http, mqtt, tls }: HubConfig): string[] {
  const called = [http.publicUrl, mqtt.publicUrl].flatMap((url) => (url === undefined ? [] : [hostOf(url)]))
  const bound = [http.host, mqtt.host].filter((host) => host !== '0.0.0.0' && host !== '::')
  const names = [...tls.names, ...called, ...bound, 'localhost', '127.0.0.1', '::1']
  return [...new Set(names)].filter((name) => isIP(name) || /^[A-Za-z0-9.-]{1,253}$/.test(name))
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : ''
}

function isDue(pem: string, authority: Authority, names: readonly string[], now: number): boolean {
  let held: X509Certificate
  try {
    held = new X509Certificate(pem)
    // All three parts: a file that a disk has spoiled behind the first would keep the hub from starting.
    if (!pem.includes(authority.certificate) || !held.checkPrivateKey(createPrivateKey(pem))) return true
  } catch {
    return true
  }
  if (held.validToDate.getTime() - now < leafMs / 3 || now < held.validFromDate.getTime()) return true
  if (!held.verify(new X509Certificate(authority.certificate).publicKey)) return true
  const hosts = held.subjectAltName?.split(', ') ?? []
  return names.some((name) => (isIP(name) ? !held.checkIP(name) : !hosts.includes(`DNS:${name}`)))
}
