import type { Server } from 'node:http'
import type { Part, Services } from '../services.ts'
import { Bridge } from './bridge.ts'
import { type Broker, startBroker } from './broker.ts'
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
      broker = await startBroker({ host, port }, bridge)
      await bridge.start(broker)
      services.enrolment.addresses.mqttUrl = publicUrl ?? `mqtt://${host}:${broker.port}`
    },
    async stop() {
      await bridge.stop()
      for (const undo of detach) await undo()
      await broker?.stop()
    },
  }
}
