import { loadConfig } from '@godwit/hub/config'
import { describe, expect, test } from 'vitest'

const least = { fleet: 'f', stateDir: '/s' }
const mistakesIn = (source: string | Record<string, unknown>, env = {}) => {
  try {
    loadConfig(source, env)
  } catch (error) {
    return (error as Error).message
  }
  return 'none'
}

test('a fleet and a state directory are enough, and the hub then listens on loopback', () => {
  const config = loadConfig(least)
  expect(config.http).toMatchObject({ host: '127.0.0.1', port: 8080 })
  expect(config.mqtt).toMatchObject({ host: '127.0.0.1', port: 1883 })
})

test('flags win over the environment, which wins over the file', () => {
  const file = 'fleet: f\nstateDir: /s\nhttp: { port: 1 }\nmqtt: { port: 1 }\n'
  const env = {
    GODWIT_HUB__MQTT__PORT: '2',
    GODWIT_HUB__HTTP__PORT: '2',
    GODWIT_HUB__HTTP__PUBLIC_URL: 'https://h',
  }
  const config = loadConfig(file, env, { http: { port: 3 } })
  expect(config.http).toMatchObject({ port: 3, publicUrl: 'https://h' })
  expect(config.mqtt.port).toBe(2)
})

test('durations and sizes may carry their unit', () => {
  const config = loadConfig(
    'fleet: f\nstateDir: /s\ndirective: { expiresMs: 2h }\nblobs: { sizeBytesMax: 250MiB }',
  )
  expect(config.directive.expiresMs).toBe(7_200_000)
  expect(config.blobs.sizeBytesMax).toBe(262_144_000)
})

test('nobody changes a configuration after it was read', () => {
  const config = loadConfig(least) as { http: { port: number } }
  expect(() => {
    config.http.port = 1
  }).toThrow(TypeError)
})

describe('all mistakes come at once', () => {
  const message = mistakesIn(
    'fleet: a/b\nmqt: {}\nhttp: { prot: 1, port: high }\ncarbon: 3\nlog: { level: loud }\nfeed: { retentionMs: -1 }',
    { GODWIT_HUB__MQTT__PROT: '3' },
  )
  test.each([
    'unknown key `mqt`, did you mean `mqtt`?',
    'unknown key `prot` in `http`, did you mean `port`?',
    'unknown key `prot` in `mqtt`, did you mean `port`?',
    'must have required properties stateDir',
    '`fleet` must match pattern',
    '`http.port` must be integer, found "high"',
    '`carbon` must be object, found 3',
    '`log.level` must be equal to one of the allowed values: fatal, error, warn, info, debug, trace, silent, found "loud"',
    '`feed.retentionMs` must be >= 60000, found -1',
  ])('%s', (mistake) => {
    expect(message).toContain(mistake)
  })
})

test('a key that resembles nothing is refused without a guess', () => {
  expect(mistakesIn({ ...least, zeppelin: 1 })).toMatch(/unknown key `zeppelin`$/)
})

test('a file that is no YAML is refused with the place', () => {
  expect(mistakesIn('fleet: [')).toContain('line 1')
})

test.each(['10.0.0.0/33', '1.2.3', '::1/129'])(
  'a proxy that is no address or network is refused: %s',
  (proxy) => {
    expect(mistakesIn({ ...least, http: { trustedProxies: [proxy] } })).toContain(`found "${proxy}"`)
  },
)

test('a list instead of keys is refused', () => {
  expect(mistakesIn('- fleet')).toContain('keys and values')
})
