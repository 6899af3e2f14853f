import { agentConfig } from '@godwit/agent/config'
import { expect, test } from 'vitest'

const mistakesOf = (slots: object): string => {
  try {
    agentConfig({ stateDir: 'state', slots }, '/etc/godwit')
    return ''
  } catch (error) {
    return (error as Error).message
  }
}
const api = { listen: '127.0.0.1:8500' }

test.each<[string, object, RegExp]>([
  ['a file without a path', { source: { kind: 'jsonl' } }, /kind `jsonl` needs `path`/],
  ['a broker without a topic', { source: { kind: 'mqtt', url: 'mqtt://a' } }, /kind `mqtt` needs `topic`/],
  [
    'a key of another kind',
    { source: { kind: 'fifo', path: 'x', topic: 'y' } },
    /`topic` belongs to kind `mqtt`/,
  ],
  ['an address of another kind', { source: { kind: 'http', url: 'mqtt://a' } }, /does not fit kind `http`/],
  ['a source that nothing can be posted to', { source: { kind: 'api' } }, /needs an `api` beside it/],
  ['an API without an address', { source: { kind: 'api' }, api: {} }, /needs `listen` or `socket`/],
  [
    'a port beyond all ports',
    { source: { kind: 'api' }, api: { listen: '127.0.0.1:70000' } },
    /70000 is no port/,
  ],
  [
    'an open address without the flag',
    { source: { kind: 'api' }, api: { listen: '0.0.0.0:8500', tokenFile: 't' } },
    /0\.0\.0\.0 is not loopback, which needs `remote: true`/,
  ],
  [
    'an open address without a token',
    { source: { kind: 'api' }, api: { listen: '[::]:8500', remote: true } },
    /which needs a `tokenFile`/,
  ],
])('refuses %s by name', (_, slot, mistake) => {
  expect(mistakesOf({ default: slot })).toMatch(mistake)
})

test('one pipe has one reader, and one address one listener', () => {
  const stdin = { source: { kind: 'stdin' }, api }
  const message = mistakesOf({ a: stdin, b: stdin })
  expect(message).toContain('two slots have the same source of kind `stdin`')
  expect(message).toContain('two slots have the same `listen` 127.0.0.1:8500')
})

test('paths are read from the directory of the file, defaults are filled in', () => {
  const source = { kind: 'mqtt', url: 'mqtts://a', topic: 't/+', caFile: 'ca.pem', fields: { t: 'x.y' } }
  const { slots } = agentConfig(
    { stateDir: 's', slots: { default: { source, api: { socket: 'a.sock' } } } },
    '/etc/godwit',
  )
  expect(slots['default']).toMatchObject({
    source: { kind: 'mqtt', caFile: '/etc/godwit/ca.pem', fields: { t: 'x.y' }, at: 'at', bufferMax: 1_024 },
    api: { socket: '/etc/godwit/a.sock', limits: { queueMax: 64, deadlineMs: 10_000 } },
  })
})
