import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { createSecureContext, type Server, type TlsOptions } from 'node:tls'
import { Fault } from '@godwit/protocol/fault'
import type { Logger } from 'pino'
import type { HubConfig } from '../config.ts'

type Material = { cert: Buffer; key: Buffer; ca?: Buffer }
/** What both kinds of server are, HTTPS and MQTT. */
type TlsServer = Pick<Server, 'setSecureContext' | 'on'>

export type Certificates = {
  /** What a server begins with. Devices without a certificate are heard; what becomes of them is not TLS' matter. */
  options(): TlsOptions
  /** New connections of this server get the newest certificate; those that are open keep what they have. */
  follow(server: TlsServer): void
  /** Reads the files again. False: nothing has changed, or what is there is no good and the old one stays. */
  reload(): Promise<boolean>
  /** No more looking, and no more waiting for those who began a handshake and said nothing since. */
  stop(): void
}

/** Integer milliseconds. Somebody should hear of it while there is time to act. */
const warnBeforeMs = 14 * 86_400_000
/** Milliseconds to shake hands. Node's own two minutes would hold a hub up that wants to stop. */
const handshakeTimeout = 10_000

/** @throws Fault `bad-certificate` */
export async function openCertificates(
  config: HubConfig['tls'],
  log: Logger,
  now: () => number,
): Promise<Certificates> {
  const servers = new Set<TlsServer>()
  const handshakes = new Handshakes()
  let held = await read(config)
  warnOfEnd(held)

  function warnOfEnd({ cert }: Material): void {
    const { validTo } = new X509Certificate(cert)
    if (Date.parse(validTo) - now() < warnBeforeMs)
      log.warn(
        { validTo, certFile: config.certFile },
        'TLS: the certificate of this hub ends soon or has ended',
      )
  }

  async function reload(): Promise<boolean> {
    const before = held
    try {
      const found = await read(config)
      if (held !== before || isSame(held, found)) return false
      held = found
    } catch (err) {
      // Certificate and key are two files: between the two writes they do not fit, and the next look finds them whole.
      log.error({ err }, 'TLS: the changed certificate is not taken; the one before stays')
      return false
    }
    for (const server of servers) server.setSecureContext(held)
    log.info({ certFile: config.certFile }, 'TLS: new certificate taken')
    warnOfEnd(held)
    return true
  }

  // Not a watcher: those follow the file that a rename has just replaced.
  const timer = setInterval(() => void reload(), config.recheckMs)
  timer.unref()
  return {
    options: () => ({ ...held, handshakeTimeout }),
    follow: (server) => {
      servers.add(server)
      handshakes.watch(server)
      // It may have changed since this server was made.
      server.setSecureContext(held)
    },
    reload,
    stop() {
      clearInterval(timer)
      handshakes.end()
    },
  }
}

/** Connections that are not yet anybody's: a server that closes would wait for them, and its owner does not know them. */
class Handshakes {
  readonly #sockets = new Map<string, Socket>()
  #isOver = false

  watch(server: TlsServer): void {
    server.on('connection', (socket: Socket) => {
      if (this.#isOver) socket.destroy()
      const key = addressOf(socket)
      this.#sockets.set(key, socket)
      socket.once('close', () => this.#sockets.delete(key))
    })
    server.on('secureConnection', (socket) => this.#sockets.delete(addressOf(socket)))
  }

  end(): void {
    this.#isOver = true
    for (const socket of this.#sockets.values()) socket.destroy()
  }
}

/** The same before and after the handshake, which makes another object of the socket. */
function addressOf({ localPort, remoteAddress, remotePort }: Socket): string {
  return `${localPort} ${remoteAddress} ${remotePort}`
}

async function read({ certFile = '', keyFile = '', caFile }: HubConfig['tls']): Promise<Material> {
  try {
    const material: Material = {
      cert: await readFile(certFile),
      key: await readFile(keyFile),
      ...(caFile !== undefined && { ca: await readFile(caFile) }),
    }
    createSecureContext(material)
    if (new X509Certificate(material.cert).checkPrivateKey(createPrivateKey(material.key))) return material
  } catch (cause) {
    throw new Fault('bad-certificate', `cannot use ${certFile}: ${(cause as Error).message}`, { cause })
  }
  throw new Fault('bad-certificate', `${keyFile} is not the key of the certificate in ${certFile}`)
}

function isSame(a: Material, b: Material): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key) && (a.ca ?? Buffer.of()).equals(b.ca ?? Buffer.of())
}
