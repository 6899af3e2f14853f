import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { topics } from '@godwit/protocol/topics'
import { freePort } from '@godwit/sample-sensor-fleet/demo/stage'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fleet, TestDevice } from '../mqtt/test-device.ts'
import { type Box, newHub } from '../support/new-hub.ts'

const server = '/usr/lib/rabbitmq/bin/rabbitmq-server'
const secret = 'a-secret-of-the-test-broker'

/** RabbitMQ itself, with its MQTT plugin, asking this hub over HTTP who may do what: docs/brokers.md, tried. */
describe.skipIf(!existsSync(server))('a running RabbitMQ (skipped where it is not installed)', () => {
  let directory: string
  let box: Box
  let broker: ChildProcess
  let url: string
  let cam: TestDevice
  let mote: TestDevice

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'godwit-rabbit-'))
    writeFileSync(join(directory, 'secret'), secret)
    box = await newHub({ broker: { webhookSecretFile: join(directory, 'secret') } })
    await box.hub.start()
    cam = await TestDevice.enrolled(box, 'cam', 11)
    mote = await TestDevice.enrolled(box, 'mote', 12)
    const [mqttPort, distPort, epmdPort] = [
      await freePort(21_000),
      await freePort(21_100),
      await freePort(21_200),
    ]
    const hub = box.hub.addresses.httpUrl.replace('http://', `http://broker:${secret}@`)
    const path = (name: string) => `auth_http.${name}_path = ${hub}/broker/rabbitmq/${name}`
    writeFileSync(
      join(directory, 'rabbitmq.conf'),
      [
        'listeners.tcp = none',
        `mqtt.listeners.tcp.1 = 127.0.0.1:${mqttPort}`,
        'mqtt.allow_anonymous = false',
        'auth_backends.1 = http',
        'auth_http.http_method = post',
        ...['user', 'vhost', 'resource', 'topic'].map(path),
        '',
      ].join('\n'),
    )
    writeFileSync(join(directory, 'plugins'), '[rabbitmq_mqtt,rabbitmq_auth_backend_http].\n')
    mkdirSync(join(directory, 'home'))
    broker = spawn(server, [], {
      env: {
        PATH: process.env['PATH'],
        HOME: join(directory, 'home'),
        RABBITMQ_NODENAME: `godwit${process.pid}@localhost`,
        RABBITMQ_NODE_PORT: '0',
        RABBITMQ_DIST_PORT: `${distPort}`,
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
        ERL_EPMD_ADDRESS: '127.0.0.1',
        ERL_EPMD_PORT: `${epmdPort}`,
        RABBITMQ_CONFIG_FILE: join(directory, 'rabbitmq.conf'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'plugins'),
        RABBITMQ_MNESIA_BASE: join(directory, 'mnesia'),
        RABBITMQ_LOG_BASE: join(directory, 'log'),
        RABBITMQ_PID_FILE: join(directory, 'pid'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let said = ''
    broker.stdout!.on('data', (text) => (said += text))
    broker.stderr!.on('data', (text) => (said += text))
    url = `mqtt://127.0.0.1:${mqttPort}`
    await new Promise<void>((resolve, reject) => {
      broker.once('exit', (code) => reject(new Error(`RabbitMQ ended with ${code}: ${said}`)))
      const knock = () => {
        const socket = connect(mqttPort, '127.0.0.1')
        socket.once('connect', () => {
          socket.destroy()
          resolve()
        })
        socket.once('error', () => setTimeout(knock, 200))
      }
      knock()
    })
  })

  afterAll(async () => {
    await box?.close()
    if (broker?.pid !== undefined && broker.exitCode === null) {
      const ended = new Promise((resolve) => broker.once('exit', resolve))
      process.kill(-broker.pid, 'SIGKILL')
      await ended
    }
    // The port mapper leaves the group of the broker that had started it.
    for (const pid of processesOf(directory)) process.kill(pid, 'SIGKILL')
    if (directory) rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  })

  const comesIn = async (device: TestDevice, change = {}) => {
    try {
      await device.connect(change, url)
      return true
    } catch {
      return false
    } finally {
      await device.client?.endAsync(true)
    }
  }

  test('lets a device in with its token, and nobody without', async () => {
    expect(await comesIn(cam)).toBe(true)
    expect(await comesIn(cam, { password: 'guess' })).toBe(false)
    expect(await comesIn(cam, { password: mote.token() })).toBe(false)
    expect(await comesIn(cam, { clientId: 'mote' })).toBe(false)
    expect(await comesIn(cam, { clientId: 'stranger', username: 'stranger' })).toBe(false)
  })

  test('carries its own topics', async () => {
    await cam.connect({}, url)
    const granted = await cam.client.subscribeAsync(topics.downAll(fleet, 'cam'), { qos: 1 })
    expect(granted.map(({ qos }) => qos)).toEqual([1])
    await cam.client.publishAsync(topics.state(fleet, 'cam'), '{}', { qos: 1 })
    expect(cam.client.connected).toBe(true)
    await cam.client.endAsync(true)
  })

  test("closes the connection of a device that publishes on another's topic", async () => {
    await cam.connect({}, url)
    const closed = new Promise<void>((resolve) => cam.client.once('close', () => resolve()))
    cam.client.publish(topics.state(fleet, 'mote'), '{}', { qos: 1 })
    await closed
  })

  test("does not let a device listen to another's topics", async () => {
    await cam.connect({}, url)
    const closed = new Promise((resolve) => cam.client.once('close', () => resolve('closed')))
    const subscribed = cam.client
      .subscribeAsync(topics.downAll(fleet, 'mote'), { qos: 1 })
      .then((granted) => granted.map(({ qos }) => qos).join())
      .catch(() => 'refused')
    expect(['closed', 'refused', '128']).toContain(await Promise.race([closed, subscribed]))
    await cam.client.endAsync(true)
  })

  test('keeps a revoked device out from then on', async () => {
    await box.hub.services.fleet.revoke('mote', 'test')
    expect(await comesIn(mote)).toBe(false)
  })
})

/** By their environment, which names the directory: what the broker has left behind. */
function processesOf(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(directory)
      } catch {
        return false
      }
    })
    .map(Number)
}
