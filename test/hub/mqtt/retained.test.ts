import { Retained } from '@godwit/hub/mqtt/retained'
import { describe, expect, test } from 'vitest'

function held(...topics: string[]): Retained<{ topic: string; payload: string }> {
  const retained = new Retained<{ topic: string; payload: string }>()
  for (const topic of topics) retained.store({ topic, payload: 'x' })
  return retained
}
const found = (retained: ReturnType<typeof held>, filter: string) =>
  [...retained.matching(filter)].map(({ topic }) => topic)

describe('retained messages', () => {
  const topics = ['f/hub', 'f/meta/root/1', 'f/meta/root/2', 'f/d/a/dn/desired', 'f/d/b/dn/desired', 'f/d/b']

  test.each([
    ['f/hub', ['f/hub']],
    ['f/meta/root/+', ['f/meta/root/1', 'f/meta/root/2']],
    ['f/d/a/dn/#', ['f/d/a/dn/desired']],
    // A filter that ends in # matches the level above it, too (MQTT 3.1.1, 4.7.1.2).
    ['f/d/b/#', ['f/d/b', 'f/d/b/dn/desired']],
    ['f/d/+/dn/desired', ['f/d/a/dn/desired', 'f/d/b/dn/desired']],
    ['f/d', []],
    ['f/d/c/#', []],
    ['f/hub/+', []],
  ])('are found by %s', (filter, expected) => {
    expect(found(held(...topics), filter).sort()).toEqual([...expected].sort())
  })

  test('are replaced by the next one on their topic, and go with an empty one', () => {
    const retained = held('f/d/a/dn/desired', 'f/d/a/up/state')
    retained.store({ topic: 'f/d/a/dn/desired', payload: 'newer' })
    expect([...retained.matching('f/d/a/dn/#')]).toEqual([{ topic: 'f/d/a/dn/desired', payload: 'newer' }])
    retained.store({ topic: 'f/d/a/dn/desired', payload: '' })
    retained.store({ topic: 'f/d/nobody/dn/desired', payload: '' })
    expect(found(retained, '#')).toEqual(['f/d/a/up/state'])
  })

  test('of other devices are not looked at', () => {
    const looked = new Set<string>()
    const retained = new Retained<{ topic: string; payload: string }>()
    for (let i = 0; i < 1_000; i++) {
      const topic = `f/d/d${i}/dn/desired`
      retained.store({
        get topic() {
          looked.add(topic)
          return topic
        },
        payload: 'x',
      })
    }
    looked.clear()
    expect(found(retained, 'f/d/d7/dn/#')).toEqual(['f/d/d7/dn/desired'])
    expect(looked.size).toBe(1)
  })
})
