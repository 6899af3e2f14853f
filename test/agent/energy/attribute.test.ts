import { attribute, joulesPerInference } from '@godwit/agent/energy/attribute'
import { IdleEstimate } from '@godwit/agent/energy/idle'
import { worstLabel } from '@godwit/agent/energy/meter'
import { expect, test } from 'vitest'

const minute = { joules: 300, measuredMs: 60_000, idleWatts: 2, runnerCpuMs: 3000, busyCpuMs: 12_000 }

test('subtracts idle, then gives the runner its share of busy CPU time', () => {
  expect(attribute(minute)).toEqual({ joules: 45, idleShareJoules: 30, unattributedJoules: 225 })
})

test('the parts always add up to what the meter saw', () => {
  for (const runnerCpuMs of [0, 1, 777, 12_000, 13_000]) {
    for (const idleWatts of [0, 1.3, 5, 9]) {
      const parts = attribute({ ...minute, runnerCpuMs, idleWatts })
      expect(parts.joules + parts.idleShareJoules + parts.unattributedJoules).toBeCloseTo(300, 9)
      expect(Math.min(parts.joules, parts.idleShareJoules, parts.unattributedJoules)).toBeGreaterThanOrEqual(
        0,
      )
    }
  }
})

test('idle does not vanish at full load', () => {
  const parts = attribute({ ...minute, runnerCpuMs: 12_000 })
  expect(parts).toEqual({ joules: 180, idleShareJoules: 120, unattributedJoules: 0 })
})

test('less power than idle is no active energy, never a negative one', () => {
  expect(attribute({ ...minute, joules: 100 }).joules).toBe(0)
})

test('where the system does not tell its CPU time, everything stays unattributed', () => {
  expect(attribute({ ...minute, busyCpuMs: undefined })).toEqual({
    joules: 0,
    idleShareJoules: 0,
    unattributedJoules: 300,
  })
})

test('energy per inference only over windows long enough for the sensor', () => {
  const window = { inferences: 60, windowMs: 60_000, coverage: 1, periodMs: 100 }
  expect(joulesPerInference(30, window)).toBe(0.5)
  expect(joulesPerInference(30, { ...window, windowMs: 29_999 })).toBeUndefined()
  expect(joulesPerInference(30, { ...window, periodMs: 30_000 })).toBeUndefined()
  expect(joulesPerInference(30, { ...window, inferences: 0 })).toBeUndefined()
})

test('energy per inference divides by the inferences of the measured part, and not at all with large gaps', () => {
  const window = { inferences: 100, windowMs: 60_000, coverage: 0.9, periodMs: 100 }
  expect(joulesPerInference(45, window)).toBeCloseTo(0.5, 12)
  expect(joulesPerInference(45, { ...window, coverage: 0.89 })).toBeUndefined()
})

test('a mixture carries the worst label in it', () => {
  expect(worstLabel('measured', 'measured')).toBe('measured')
  expect(worstLabel('measured', 'modelled', 'measured')).toBe('modelled')
  expect(worstLabel('modelled', 'assumed', 'measured')).toBe('assumed')
})

test('idle power is the 10th percentile of quiet minutes', () => {
  const idle = new IdleEstimate()
  for (const watts of [9, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12]) {
    idle.add({ durationMs: 60_000, joules: watts * 60 }, 0)
  }
  expect(idle.watts).toBe(3)
})

test('minutes in which the agent worked, or with a hole, tell nothing about idle', () => {
  const idle = new IdleEstimate()
  for (let i = 0; i < 20; i++) idle.add({ durationMs: 60_000, joules: 120 }, 600)
  for (let i = 0; i < 20; i++) {
    idle.add({ durationMs: 50_000, joules: 100 }, 0)
    idle.add({ durationMs: 5_000, joules: undefined }, 0)
  }
  for (let i = 0; i < 4; i++) idle.add({ durationMs: 60_000, joules: 120 }, 599)
  expect(idle.watts).toBeUndefined()
  idle.add({ durationMs: 60_000, joules: 120 }, 599)
  expect(idle.watts).toBe(2)
})
