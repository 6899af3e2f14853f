import { describe, expect, test } from 'vitest'
import { type Account, auditOf, auditOfPlaces, type HubAccount, seamless } from './sequence-audit.ts'

/* The judge of many stories: one that finds nothing would let all of them pass. */

type Stream = HubAccount['streams'][number]
const stream = (change: Partial<Stream> = {}): Stream => ({
  ...{ stream: 'window', highest: 3, forgotten: 0, missing: [], dropped: [] },
  ...change,
})
const device: Account = { next: { window: 4 }, readings: 30 }
const windows = [1, 2, 3].map((seq) => ({ seq, readings: 10, start: seq * 1_000 }))
const whole: HubAccount = { streams: [stream()], windows, events: [{ key: 'a' }, { key: 'b' }] }
const audit = (change: Partial<HubAccount>) => auditOf(device, { ...whole, ...change })

describe('an audit of what a device measured', () => {
  test('finds nothing where everything came once and in order', () => {
    expect(audit({})).toEqual(seamless)
  })

  test('counts a number that is missing, and one that the hub has never heard of', () => {
    expect(audit({ streams: [stream({ missing: [{ first: 2, last: 2 }] })] }).lost).toBe(1)
    expect(audit({ streams: [stream({ highest: 1 })] }).lost).toBe(2)
    expect(audit({ streams: [] }).lost).toBe(3)
  })

  test('counts readings that are in no window, and those that are in two', () => {
    expect(audit({ windows: windows.slice(1) }).lost).toBe(10)
    const twice = [...windows.slice(0, 2), { ...windows[2]!, readings: 14 }]
    expect(audit({ windows: twice }).duplicated).toBe(4)
  })

  test('counts an event that has two numbers', () => {
    expect(audit({ events: [{ key: 'a' }, { key: 'a' }] }).duplicated).toBe(1)
  })

  test('counts windows whose numbers and times disagree', () => {
    const [first, second, third] = windows
    const swapped = [{ ...first!, start: second!.start }, { ...second!, start: first!.start }, third!]
    expect(audit({ windows: swapped }).reordered).toBe(1)
  })

  test('takes what was dropped and told for told, with its readings', () => {
    const dropped = [{ first: 2, last: 2 }]
    expect(audit({ streams: [stream({ dropped })], windows: [windows[0]!, windows[2]!] })).toEqual({
      ...seamless,
      told: 1,
    })
    expect(audit({ streams: [stream({ forgotten: 2 })] }).told).toBe(2)
  })

  test('looks away from what the device has measured since', () => {
    expect(audit({ windows: [...windows, { seq: 4, readings: 10, start: 0 }] })).toEqual(seamless)
  })
})

test('places in a source are audited by what lies between them', () => {
  const places = (...ends: [number, number][]) => auditOfPlaces(ends.map(([start, end]) => ({ start, end })))
  expect(places([0, 5], [5, 10])).toEqual(seamless)
  expect(places([0, 5], [7, 10]).lost).toBe(2)
  expect(places([2, 5]).lost).toBe(2)
  expect(places([0, 5], [3, 10]).duplicated).toBe(2)
  expect(places([5, 10], [0, 5]).reordered).toBe(1)
})
