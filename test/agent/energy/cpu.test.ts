import { loadBetween, portableSystemCpu, processCpuMs, systemCpu } from '@godwit/agent/energy/cpu'
import { expect, test } from 'vitest'
import { fakeTree } from './fake-sysfs.ts'

test('busy time leaves out idle, waiting for I/O, steal, and guest time that user time already holds', () => {
  const tree = fakeTree({
    '/proc/stat': 'cpu  100 20 30 400 50 6 7 80 90 10\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5',
  })
  expect(systemCpu(tree)).toEqual({ busyMs: 1630, totalMs: 6930, cores: 2 })
})

test('a process whose name holds brackets and spaces is still read right', () => {
  const stat = '77 (a) R (b c) S 1 77 77 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 1 0 108143 3133440 359'
  expect(processCpuMs(fakeTree({ '/proc/77/stat': stat }), 77)).toBe(3000)
})

test('a process that is gone has no CPU time, rather than none', () => {
  expect(processCpuMs(fakeTree(), 77)).toBeUndefined()
})

test('garbage in /proc/stat is no reading', () => {
  expect(systemCpu(fakeTree({ '/proc/stat': 'cpu  a b c d' }))).toBeUndefined()
  expect(systemCpu(fakeTree())).toBeUndefined()
})

test('load lies between 0 and 1 even when counters run backwards', () => {
  const at = (busyMs: number, totalMs: number) => ({ busyMs, totalMs, cores: 4 })
  expect(loadBetween(at(100, 1000), at(600, 2000))).toEqual({ busyShare: 0.5, cores: 4 })
  expect(loadBetween(at(100, 1000), at(90, 1100)).busyShare).toBe(0)
  expect(loadBetween(at(100, 1000), at(200, 1050)).busyShare).toBe(1)
  expect(loadBetween(at(100, 1000), at(100, 1000)).busyShare).toBe(0)
})

test('machines without /proc still tell their CPU time', () => {
  const cpu = portableSystemCpu()
  expect(cpu?.totalMs).toBeGreaterThan(0)
  expect(cpu?.busyMs).toBeLessThanOrEqual(cpu?.totalMs ?? 0)
})
