import { loadMotes } from '@godwit/sample-sensor-fleet/motes'
import { windowAt, windowsOf } from '@godwit/sample-sensor-fleet/windows'
import { describe, expect, test } from 'vitest'

const motes = loadMotes()

describe('the recordings', () => {
  test('are two indoor and two outdoor motes, whole and in order', () => {
    expect(motes.map((m) => m.place)).toEqual(['indoor', 'indoor', 'outdoor', 'outdoor'])
    expect(motes.map((m) => m.readings.length)).toEqual([4417, 4417, 5039, 5041])
    for (const mote of motes) expect(mote.readings.every((r, i) => r.index === i + 1)).toBe(true)
  })

  test('hold 117 labelled readings on mote 1, 32 on mote 4 and none elsewhere', () => {
    const labelled = motes.map((m) => m.readings.filter((r) => r.label === 1).length)
    expect(labelled).toEqual([117, 0, 0, 32])
  })
})

describe('a window', () => {
  test('holds the last readings, oldest first, humidity before temperature, as float32', () => {
    const [a, b] = [motes[0]!.readings[0]!, motes[0]!.readings[1]!]
    const expected = [a.humidity, a.temperature, b.humidity, b.temperature].map(Math.fround)
    expect([...windowAt(motes[0]!.readings, 1, 2)]).toEqual(expected)
  })

  test('is there for every reading that has enough before it', () => {
    expect(windowsOf(motes[0]!.readings, 4)).toHaveLength(4417 - 3)
  })
})
