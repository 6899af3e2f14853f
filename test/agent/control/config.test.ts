import { agentConfig } from '@godwit/agent/config'
import { expect, test } from 'vitest'

const slots = { default: { source: { kind: 'replay', path: 'mote.jsonl' } } }

test('fills in defaults, resolves paths and freezes', () => {
  const config = agentConfig({ stateDir: 'state', slots }, '/etc/godwit')
  expect(config.stateDir).toBe('/etc/godwit/state')
  expect(config.slots['default']).toEqual({
    source: { kind: 'replay', path: '/etc/godwit/mote.jsonl', intervalMs: 1_000, loop: false },
    executionProviders: ['cpu'],
    prefer: 'latency',
    energyLabel: 'measured',
    threads: 1,
  })
  expect(config.download.via).toBe('auto')
  expect(config.link).toMatchObject({ backoffMsMin: 1_000, backoffMsMax: 300_000, class: 'unmetered' })
  expect(Object.isFrozen(config)).toBe(true)
})

test('names all mistakes in one message, with the nearest key', () => {
  const wrong = {
    stateDri: '/x',
    slots: { 'a b': { source: { kind: 'jsonl', path: 'x', loop: true } }, ok: { sorce: 1 } },
    download: { via: 'pigeon' },
    join: { token: 'a', tokenFile: 'b' },
  }
  let message = ''
  try {
    agentConfig(wrong, '/')
  } catch (error) {
    message = (error as Error).message
  }
  expect(message).toContain('unknown key `stateDri`, did you mean `stateDir`?')
  expect(message).toContain('slot name `a b`')
  expect(message).toContain('`loop` belongs to kind `replay`')
  expect(message).toContain('`slots.ok`: unknown key `sorce`, did you mean `source`?')
  expect(message).toContain('`download.via`')
})
