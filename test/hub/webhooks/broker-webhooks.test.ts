import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { blockRequestBytesMax } from '@godwit/protocol/limits'
import { topics } from '@godwit/protocol/topics'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import { fleet, TestDevice } from '../mqtt/test-device.ts'
import { type Box, newHub, seedOf } from '../support/new-hub.ts'
import { scratch } from '../support/scratch.ts'

const secret = 'a-secret-of-the-test-broker'
let box: Box
let cam: TestDevice
beforeEach(async () => {
  const webhookSecretFile = join(scratch(), 'secret')
  writeFileSync(webhookSecretFile, `${secret}\n`)
  box = await newHub({ broker: { webhookSecretFile } })
  cam = await TestDevice.enrolled(box, 'cam', 11)
  await TestDevice.enrolled(box, 'mote', 12)
})
afterEach(() => box.close())

type Sent = { form?: Record<string, string>; json?: unknown; headers?: Record<string, string> }
type Heard = { status: number; body: unknown; type: string }

async function ask(path: string, { form, json, headers = {} }: Sent): Promise<Heard> {
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json'
  const answer = await box.hub.http.inject({
    method: 'POST',
    url: `/broker/${path}`,
    headers: { 'content-type': type, 'x-broker-secret': secret, ...headers },
    payload: form ? new URLSearchParams(form).toString() : JSON.stringify(json),
  })
  const got = String(answer.headers['content-type']).split(';')[0]!
  return {
    status: answer.statusCode,
    body: got === 'application/json' ? answer.json() : answer.body,
    type: got,
  }
}

const json = (status: number, body: unknown): Heard => ({ status, body, type: 'application/json' })
const plain = (body: string): Heard => ({ status: 200, body, type: 'text/plain' })

const said = {
  emqx: {
    yes: json(200, { result: 'allow' }),
    no: json(200, { result: 'deny' }),
    login: json(200, { result: 'allow', is_superuser: false, client_attrs: { fleet } }),
  },
  mosquitto: {
    yes: json(200, { ok: true, error: '' }),
    no: json(403, { ok: false, error: 'not authorised' }),
  },
  rabbitmq: { yes: plain('allow'), no: plain('deny') },
  vernemq: {
    yes: json(200, { result: 'ok' }),
    no: json(200, { result: { error: 'not_allowed' } }),
  },
}

/** Each kind of broker, with the bodies that it sends: who comes in, who may say and hear what. */
type Dialect = {
  connect(id: string, username: string, password: string): [path: string, sent: Sent]
  publish(id: string, topic: string, retain?: boolean): [path: string, sent: Sent]
  subscribe(id: string, filter: string): [path: string, sent: Sent]
  yes: Heard
  no: Heard
  login: Heard
  knowsRetain: boolean
  noSubscribe?: (filter: string) => Heard
}

const routingKey = (topic: string) => topic.replaceAll('/', '.').replaceAll('+', '*')
const rabbitTopic = (id: string, permission: string, topic: string): [string, Sent] => [
  'rabbitmq/topic',
  {
    form: {
      ...{ username: id, vhost: '/', resource: 'topic', name: 'amq.topic', permission, tags: '' },
      routing_key: routingKey(topic),
      ...{ 'variable_map.client_id': id, 'variable_map.username': id, 'variable_map.vhost': '/' },
    },
  },
]
function emqxAuthz(id: string, action: string, topic: string, retain = false): [string, Sent] {
  const who = { clientid: id, username: id }
  return ['emqx/authz', { json: { ...who, action, topic, qos: '1', retain: String(retain) } }]
}
const verne = (hook: string, body: object): [string, Sent] => [
  'vernemq',
  { json: { mountpoint: '', ...body }, headers: { 'vernemq-hook': hook } },
]

function vernemq(version: '' | '_m5', refused: number): Dialect {
  return {
    ...said.vernemq,
    login: said.vernemq.yes,
    knowsRetain: true,
    connect: (id, username, password) =>
      verne(`auth_on_register${version}`, {
        ...{ peer_addr: '127.0.0.1', peer_port: 8888, username, password, client_id: id },
        ...(version ? { clean_start: true, properties: {} } : { clean_session: true }),
      }),
    publish: (id, topic, retain = false) =>
      verne(`auth_on_publish${version}`, {
        username: id,
        client_id: id,
        qos: 1,
        topic,
        payload: 'e30=',
        retain,
      }),
    subscribe: (id, topic) =>
      verne(`auth_on_subscribe${version}`, { client_id: id, username: id, topics: [{ topic, qos: 1 }] }),
    noSubscribe: (topic) => {
      const decided = { topics: [{ topic, qos: refused }] }
      return json(200, version ? { result: 'ok', modifiers: decided } : { result: 'ok', ...decided })
    },
  }
}

function mosquitto(send: (body: Record<string, string | number>) => Sent): Dialect {
  const acl = (id: string, topic: string, acc: number): [string, Sent] => [
    'mosquitto/aclcheck',
    send({ username: id, clientid: id, topic, acc }),
  ]
  return {
    ...said.mosquitto,
    login: said.mosquitto.yes,
    knowsRetain: false,
    connect: (clientid, username, password) => ['mosquitto/getuser', send({ username, password, clientid })],
    publish: (id, topic) => acl(id, topic, 2),
    subscribe: (id, topic) => acl(id, topic, 4),
  }
}
const asForm = (body: Record<string, string | number>): Sent => ({
  form: Object.fromEntries(Object.entries(body).map(([name, value]) => [name, String(value)])),
})

const dialects: Record<string, Dialect> = {
  'EMQX 5': {
    ...said.emqx,
    knowsRetain: true,
    connect: (clientid, username, password) => [
      'emqx/authn',
      { json: { clientid, username, password, peerhost: '127.0.0.1', cn: 'undefined' } },
    ],
    publish: (id, topic, retain) => emqxAuthz(id, 'publish', topic, retain),
    subscribe: (id, topic) => emqxAuthz(id, 'subscribe', topic),
  },
  'mosquitto-go-auth, JSON': mosquitto((json) => ({ json })),
  'mosquitto-go-auth, form': mosquitto(asForm),
  RabbitMQ: {
    ...said.rabbitmq,
    login: said.rabbitmq.yes,
    knowsRetain: false,
    connect: (client_id, username, password) => [
      'rabbitmq/user',
      { form: { username, password, vhost: '/', client_id } },
    ],
    publish: (id, topic) => rabbitTopic(id, 'write', topic),
    subscribe: (id, topic) => rabbitTopic(id, 'read', topic),
  },
  'VerneMQ, MQTT 3.1.1': vernemq('', 128),
  'VerneMQ, MQTT 5': vernemq('_m5', 135),
}

describe.for(Object.entries(dialects))('%s', ([, dialect]) => {
  test('lets in who proves to be an enrolled device, and nobody else', async () => {
    const connect = async (...who: [string, string, string]) => ask(...dialect.connect(...who))
    expect(await connect('cam', 'cam', cam.token())).toEqual(dialect.login)
    const no: [string, string, string][] = [
      ['mote', 'cam', cam.token()],
      ['cam', 'mote', cam.token()],
      ['mote', 'mote', cam.token()],
      ['cam', 'cam', cam.token('cam', seedOf(12))],
      ['cam', 'cam', ''],
      ['nobody', 'nobody', cam.token('nobody')],
      ['', '', ''],
    ]
    for (const who of no) expect(await connect(...who), who.join()).toEqual(dialect.no)
    await box.hub.services.fleet.revoke('cam', 'test')
    expect(await connect('cam', 'cam', cam.token())).toEqual(dialect.no)
  })

  test('lets a device publish where the embedded broker does', async () => {
    const publish = async (topic: string, retain?: boolean) => ask(...dialect.publish('cam', topic, retain))
    const yes = [
      topics.state(fleet, 'cam'),
      topics.birth(fleet, 'cam'),
      topics.telemetry(fleet, 'cam', 'window'),
      topics.blockRequest(fleet, 'cam'),
    ]
    for (const topic of yes) expect(await publish(topic), topic).toEqual(dialect.yes)
    const no = [
      topics.state(fleet, 'mote'),
      topics.state('other', 'cam'),
      topics.desired(fleet, 'cam'),
      topics.meta(fleet, 'root', 1),
      `${topics.state(fleet, 'cam')}/more`,
      'up',
      '',
    ]
    for (const topic of no) expect(await publish(topic), topic).toEqual(dialect.no)
    expect(await publish(topics.state(fleet, 'cam'), true)).toEqual(dialect.yes)
    const retained = await publish(topics.telemetry(fleet, 'cam', 'window'), true)
    expect(retained).toEqual(dialect.knowsRetain ? dialect.no : dialect.yes)
  })

  test('lets a device hear what the embedded broker does', async () => {
    const subscribe = async (filter: string) => ask(...dialect.subscribe('cam', filter))
    const yes = [
      topics.hub(fleet),
      topics.metaAll(fleet),
      topics.downAll(fleet, 'cam'),
      topics.ack(fleet, 'cam'),
      topics.block(fleet, 'a'.repeat(64)),
    ]
    for (const filter of yes) expect(await subscribe(filter), filter).toEqual(dialect.yes)
    const no = [
      '#',
      topics.downAll(fleet, 'mote'),
      `${topics.downAll(fleet, '+')}`,
      topics.block(fleet, '+'),
      'x',
    ]
    for (const filter of no)
      expect(await subscribe(filter), filter).toEqual(dialect.noSubscribe?.(filter) ?? dialect.no)
  })

  test('hears no from the moment at which a device is revoked, although it is connected', async () => {
    await box.hub.services.fleet.revoke('cam', 'test')
    expect(await ask(...dialect.publish('cam', topics.state(fleet, 'cam')))).toEqual(dialect.no)
    const filter = topics.hub(fleet)
    expect(await ask(...dialect.subscribe('cam', filter))).toEqual(
      dialect.noSubscribe?.(filter) ?? dialect.no,
    )
  })

  test('gets its own kind of no with a wrong secret, a body that is none, and a hub that fails', async () => {
    const [path, sent] = dialect.connect('cam', 'cam', cam.token())
    const headers = { ...sent.headers, 'x-broker-secret': `${secret}x` }
    expect(await ask(path, { ...sent, headers })).toEqual(dialect.no)
    for (const json of [[], null, 'text', { clientid: { a: 1 }, client_id: ['cam'], username: 7 }])
      expect(await ask(path, { json, headers: sent.headers ?? {} })).toEqual(dialect.no)
    const fails = vi.spyOn(box.hub.services.fleet, 'authenticate').mockRejectedValue(new Error('disk'))
    expect(await ask(path, sent)).toEqual(dialect.no)
    fails.mockRestore()
    expect(await ask(path, sent)).toEqual(dialect.login)
  })
})

describe('what only one of them asks', () => {
  test('EMQX: a certificate that came must be the device’s', async () => {
    const body = { clientid: 'cam', username: 'cam', password: cam.token(), peerhost: '127.0.0.1' }
    expect(await ask('emqx/authn', { json: { ...body, cn: 'cam' } })).toEqual(said.emqx.login)
    expect(await ask('emqx/authn', { json: { ...body, cn: 'mote' } })).toEqual(said.emqx.no)
    expect(await ask('emqx/authn', { json: { ...body, cn: '' } })).toEqual(said.emqx.login)
    expect(await ask(...emqxAuthz('cam', 'all', topics.state(fleet, 'cam')))).toEqual(said.emqx.no)
  })

  test('mosquitto: nobody is a superuser, and reading and writing at once is nothing', async () => {
    expect(await ask('mosquitto/superuser', { json: { username: 'cam' } })).toEqual(said.mosquitto.no)
    const acl = (acc: number, topic: string) =>
      ask('mosquitto/aclcheck', { json: { username: 'cam', clientid: 'cam', topic, acc } })
    expect(await acl(1, topics.ack(fleet, 'cam'))).toEqual(said.mosquitto.yes)
    expect(await acl(1, topics.ack(fleet, 'mote'))).toEqual(said.mosquitto.no)
    expect(await acl(3, topics.state(fleet, 'cam'))).toEqual(said.mosquitto.no)
    expect(
      await ask('mosquitto/aclcheck', {
        json: { username: 'cam', clientid: 'mote', topic: topics.state(fleet, 'cam'), acc: 2 },
      }),
    ).toEqual(said.mosquitto.no)
  })

  test('RabbitMQ: a client id that is not the user’s gets no virtual host', async () => {
    const vhost = (client_id: string) =>
      ask('rabbitmq/vhost', { form: { username: 'cam', vhost: '/', ip: '127.0.0.1', client_id } })
    expect(await vhost('cam')).toEqual(said.rabbitmq.yes)
    expect(await vhost('mote')).toEqual(said.rabbitmq.no)
    expect(await vhost('')).toEqual(said.rabbitmq.no)
  })

  test.for([
    ['queue', 'mqtt-subscription-camqos1', 'configure', 'yes'],
    ['queue', 'mqtt-subscription-camqos0', 'write', 'yes'],
    ['queue', 'mqtt-subscription-camqos1', 'read', 'yes'],
    ['exchange', 'amq.topic', 'write', 'yes'],
    ['exchange', 'amq.topic', 'read', 'yes'],
    ['exchange', 'amq.topic', 'configure', 'no'],
    ['exchange', 'amq.default', 'write', 'no'],
    ['queue', 'mqtt-subscription-moteqos1', 'read', 'no'],
    ['queue', 'mqtt-subscription-camqos2', 'read', 'no'],
    ['queue', 'mqtt-subscription-camqos1', 'delete', 'no'],
    ['topic', 'amq.topic', 'write', 'no'],
  ] as const)('RabbitMQ: %s %s, to %s: %s', async ([resource, name, permission, expected]) => {
    const form = { username: 'cam', vhost: '/', resource, name, permission, tags: '', client_id: 'cam' }
    expect(await ask('rabbitmq/resource', { form })).toEqual(said.rabbitmq[expected])
  })

  test('RabbitMQ: a routing key with a slash, and another exchange, are no topics', async () => {
    const [, { form }] = rabbitTopic('cam', 'write', topics.state(fleet, 'cam'))
    const slashes = { ...form, routing_key: topics.state(fleet, 'cam') }
    expect(await ask('rabbitmq/topic', { form: slashes })).toEqual(said.rabbitmq.no)
    expect(await ask('rabbitmq/topic', { form: { ...form, name: 'amq.direct' } })).toEqual(said.rabbitmq.no)
    const another = { ...form, 'variable_map.client_id': 'mote' }
    expect(await ask('rabbitmq/topic', { form: another })).toEqual(said.rabbitmq.no)
  })

  test('VerneMQ: of many filters the wrong ones alone are refused', async () => {
    const [good, bad] = [topics.hub(fleet), '#']
    const body = {
      client_id: 'cam',
      username: 'cam',
      topics: [good, bad].map((topic) => ({ topic, qos: 1 })),
    }
    const decided = (qos: number) => [
      { topic: good, qos: 1 },
      { topic: bad, qos },
    ]
    expect((await ask(...verne('auth_on_subscribe', body))).body).toEqual({
      result: 'ok',
      topics: decided(128),
    })
    expect((await ask(...verne('auth_on_subscribe_m5', body))).body).toEqual({
      result: 'ok',
      modifiers: { topics: decided(135) },
    })
  })

  test('VerneMQ: a payload that is too long, and a hook that nobody knows', async () => {
    const body = { username: 'cam', client_id: 'cam', qos: 1, retain: false }
    const topic = topics.blockRequest(fleet, 'cam')
    const payload = (bytes: number) => Buffer.alloc(bytes).toString('base64')
    const publish = (bytes: number) =>
      ask(...verne('auth_on_publish', { ...body, topic, payload: payload(bytes) }))
    expect(await publish(blockRequestBytesMax)).toEqual(said.vernemq.yes)
    expect(await publish(blockRequestBytesMax + 1)).toEqual(said.vernemq.no)
    expect(await ask(...verne('on_publish', body))).toEqual(said.vernemq.no)
    expect(await ask(...verne('constructor', body))).toEqual(said.vernemq.no)
  })
})

test('the secret may come as the password of an address, for brokers that set no headers', async () => {
  const form = { username: 'cam', vhost: '/', ip: '127.0.0.1', client_id: 'cam' }
  const basic = (password: string) => ({
    authorization: `Basic ${Buffer.from(`broker:${password}`).toString('base64')}`,
  })
  const answer = async (headers: Record<string, string>) =>
    (
      await box.hub.http.inject({
        method: 'POST',
        url: '/broker/rabbitmq/vhost',
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
        payload: new URLSearchParams(form).toString(),
      })
    ).body
  expect(await answer(basic(secret))).toBe('allow')
  expect(await answer(basic('wrong'))).toBe('deny')
  expect(await answer({ authorization: `Bearer ${box.adminToken}` })).toBe('deny')
  expect(await answer({})).toBe('deny')
})

test('a refusal is on record, and one that is repeated once a minute', async () => {
  const refused = async () => {
    const rows = await box.hub.services.audit.before(undefined, 100)
    return rows.filter(({ action }) => action === 'mqtt.refused').map(({ who, subject }) => [who, subject])
  }
  for (let i = 0; i < 20; i++) await ask(...emqxAuthz('cam', 'publish', topics.state(fleet, 'mote')))
  await waitFor(async () => expect(await refused()).toEqual([['device:cam', 'not_authorised']]))
  // Names that somebody makes up do not fill the record.
  for (let i = 0; i < 20; i++)
    await ask('emqx/authn', { json: { clientid: `n${i}`, username: `n${i}`, password: 'x' } })
  await ask('emqx/authn', { json: {}, headers: { 'x-broker-secret': 'wrong' } })
  await waitFor(async () =>
    expect((await refused()).sort()).toEqual([
      ['device:cam', 'not_authorised'],
      ['device:unknown', 'not_authenticated'],
      ['device:unknown', 'wrong_secret'],
    ]),
  )
  box.time.now += 60_000
  await ask(...emqxAuthz('cam', 'publish', topics.state(fleet, 'mote')))
  await waitFor(async () => expect(await refused()).toHaveLength(4))
})

test('a hub that was given no secret has no such addresses', async () => {
  const plainHub = await newHub()
  try {
    const answer = await plainHub.hub.http.inject({
      method: 'POST',
      url: '/broker/emqx/authn',
      headers: { 'x-broker-secret': '' },
      payload: {},
    })
    expect(answer.statusCode).toBe(404)
  } finally {
    await plainHub.close()
  }
})

test('a secret that is short or cannot be read keeps a hub from starting', async () => {
  const webhookSecretFile = join(scratch(), 'secret')
  await expect(newHub({ broker: { webhookSecretFile } })).rejects.toMatchObject({ code: 'bad-config' })
  writeFileSync(webhookSecretFile, 'short')
  await expect(newHub({ broker: { webhookSecretFile } })).rejects.toThrow(/at least 16/)
})
