import type { Server } from 'node:http'
import type { Part, Services } from '../services.ts'
import { certificateFlaw } from '../tls/client-certificate.ts'
import { Bridge } from './bridge.ts'
import { type Broker, type BrokerTls, type Doorkeeper, startBroker } from './broker.ts'
import { attachWebSocket } from './web-socket.ts'

export type Mqtt = {
  /** 0 until it listens. */
  readonly port: number
  connectedCount(): number
  /** MQTT over WebSocket on an HTTP server's own port; call it once the server exists. */
  attach(server: Server): void
}

declare module '../services.ts' {
  interface Services {
    mqtt: Mqtt
  }
}

export function mqttPart(services: Services): Part {
  const bridge = new Bridge(services)
  let broker: Broker | undefined
  const detach: (() => Promise<void>)[] = []
  services.mqtt = {
    get port() {
      return broker?.port ?? 0
    },
    connectedCount: () => broker?.connectedCount() ?? 0,
    attach: (server) => {
      detach.push(attachWebSocket(server, () => broker))
    },
  }
  return {
    name: 'mqtt',
    async start() {
      const { host, port, publicUrl } = services.config.mqtt
      await bridge.forgetPresence()
      const tls = tlsOf(services)
      const started = await startBroker(
        { host, port, ...(tls && { tls }) },
        withCertificates(bridge, services),
      )
      broker = started
      await bridge.start(started)
      const silence = services.keyRotation.onRotated((deviceId) => started.kick(deviceId))
      detach.push(async () => silence())
      const scheme = tls ? 'mqtts' : 'mqtt'
      services.enrolment.addresses.mqttUrl = publicUrl ?? `${scheme}://${host}:${broker.port}`
    },
    async stop() {
      await bridge.stop()
      for (const undo of detach) await undo()
      await broker?.stop()
    },
  }
}

function tlsOf({ certificates, config }: Services): BrokerTls | undefined {
  if (!certificates) return undefined
  const { clientCertificates } = config.tls
  return {
    ...certificates.options(),
    requestCert: clientCertificates !== 'off',
    // Before a byte of MQTT is read. Where a certificate is a choice, the doorkeeper looks at it.
    rejectUnauthorized: clientCertificates === 'required',
    onServer: (server) => certificates.follow(server),
  }
}

/** What the certificate says comes first; it asks no database. */
function withCertificates(bridge: Bridge, { config, log }: Services): Doorkeeper {
  return {
    async mayConnect(clientId, username, password, peer) {
      const flaw = certificateFlaw(config.tls.clientCertificates, peer, clientId)
      if (flaw !== undefined) log.info({ clientId, flaw }, 'MQTT: refused')
      return flaw === undefined && bridge.mayConnect(clientId, username, password)
    },
    admit: (deviceId, packet) => bridge.admit(deviceId, packet),
    maySubscribe: (deviceId, filter) => bridge.maySubscribe(deviceId, filter),
    gone: (deviceId) => bridge.gone(deviceId),
    forwarded: (deviceId, sha256) => bridge.forwarded(deviceId, sha256),
  }
}
