import { deviceMay, parseMetaTopic, parseUpTopic, topics } from '@godwit/protocol/topics'
import { describe, expect, test } from 'vitest'

describe('what a device may do on the broker', () => {
  test('it publishes on its own up topics, and on nothing else', () => {
    expect(deviceMay('f', 'a', 'publish', topics.state('f', 'a'))).toBe(true)
    expect(deviceMay('f', 'a', 'publish', topics.telemetry('f', 'a', 'window'))).toBe(true)
    expect(deviceMay('f', 'a', 'publish', topics.state('f', 'b'))).toBe(false)
    expect(deviceMay('f', 'a', 'publish', topics.state('g', 'a'))).toBe(false)
    expect(deviceMay('f', 'a', 'publish', topics.desired('f', 'a'))).toBe(false)
    expect(deviceMay('f', 'a', 'publish', topics.hub('f'))).toBe(false)
    expect(deviceMay('f', 'a', 'publish', topics.block('f', '0'.repeat(64)))).toBe(false)
    expect(deviceMay('f', 'a', 'publish', 'godwit/1/f/d/a/up/t/unheard-of')).toBe(false)
    expect(deviceMay('f', 'a', 'publish', '$SYS/anything')).toBe(false)
    // What every JavaScript object answers to.
    for (const name of ['constructor', 'toString', '__proto__'])
      expect(deviceMay('f', 'a', 'publish', `godwit/1/f/d/a/up/${name}`), name).toBe(false)
  })

  test('it subscribes to what the hub says to all and to itself, never to another device', () => {
    for (const topic of [
      topics.hub('f'),
      topics.metaAll('f'),
      topics.downAll('f', 'a'),
      topics.ack('f', 'a'),
    ]) {
      expect(deviceMay('f', 'a', 'subscribe', topic), topic).toBe(true)
    }
    for (const topic of [
      '#',
      'godwit/1/f/#',
      'godwit/1/f/d/#',
      'godwit/1/f/d/+/dn/#',
      'godwit/1/f/d/b/dn/#',
      'godwit/1/f/d/a/up/#',
      'godwit/1/g/hub',
      'godwit/1/f/meta/../d/b/dn/ack',
    ]) {
      expect(deviceMay('f', 'a', 'subscribe', topic), topic).toBe(false)
    }
  })

  test('it sees a block only if it knows its digest', () => {
    expect(deviceMay('f', 'a', 'subscribe', topics.block('f', 'ab'.repeat(32)))).toBe(true)
    for (const level of ['+', '#', 'AB'.repeat(32), 'ab'.repeat(31)]) {
      expect(deviceMay('f', 'a', 'subscribe', topics.block('f', level)), level).toBe(false)
    }
  })
})

test('topics are read as they are built', () => {
  expect(parseUpTopic(topics.reported('f', 'a'))).toEqual({ fleet: 'f', device: 'a', kind: 'reported' })
  expect(parseUpTopic(topics.telemetry('f', 'a', 'event'))).toEqual({
    fleet: 'f',
    device: 'a',
    kind: 'telemetry',
    stream: 'event',
  })
  expect(parseMetaTopic(topics.meta('f', 'timestamp'))).toEqual({ role: 'timestamp' })
  expect(parseMetaTopic(topics.meta('f', 'root', 12))).toEqual({ role: 'root', version: 12 })
})

test('a name with a slash, a dot or a wildcard is no topic level', () => {
  for (const device of ['a/b', 'a.b', '+', '#', '', 'x'.repeat(65)]) {
    expect(parseUpTopic(topics.state('f', device)), device).toBeUndefined()
  }
  expect(parseMetaTopic(topics.meta('f', 'root', 0))).toBeUndefined()
})
