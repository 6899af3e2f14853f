import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { Broker } from './broker.ts'
import { brokerDefaults } from './broker.ts'

export const webSocketPath = '/mqtt'

/**
 * MQTT for browsers, on the HTTP server's own port. The same doorkeeper decides: a browser is a device with a token in
 * its CONNECT, and cookies count for nothing here, so another site's page gains nothing by opening this socket.
 */
export function attachWebSocket(server: Server, broker: () => Broker | undefined): () => Promise<void> {
  const sockets = new WebSocketServer({
    noServer: true,
    // MQTT 3.1.1 §6: the subprotocol is "mqtt", and a client that asks for another is none of ours.
    handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : false),
    maxPayload: brokerDefaults.packetBytesMax,
    perMessageDeflate: false,
  })
  const onUpgrade: Parameters<Server['on']>[1] = (...args: unknown[]) => {
    const [request, socket, head] = args as [import('node:http').IncomingMessage, Socket, Buffer]
    const to = broker()
    const path = (request.url ?? '').split('?')[0]
    if (path !== webSocketPath || !to) {
      socket.end(`HTTP/1.1 ${to ? '404 Not Found' : '503 Service Unavailable'}\r\nConnection: close\r\n\r\n`)
      return
    }
    socket.setNoDelay(true)
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      to.handle(createWebSocketStream(webSocket), request),
    )
  }
  server.on('upgrade', onUpgrade)
  return async () => {
    server.off('upgrade', onUpgrade)
    for (const client of sockets.clients) client.terminate()
    sockets.close()
  }
}
