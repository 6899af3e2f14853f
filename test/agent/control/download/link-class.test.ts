import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultInterface, defaultInterface6, linkClassNow } from '@godwit/agent/control/download/link-class'
import { afterAll, expect, test } from 'vitest'

const directory = mkdtempSync(join(tmpdir(), 'godwit-class-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const head = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT'
const route = (name: string, metric: number, destination = '00000000', mask = '00000000') =>
  `${name}\t${destination}\t0100000A\t0003\t0\t0\t${metric}\t${mask}\t0\t0\t0`
const none = '0'.repeat(32)
const route6 = (name: string, metric: string, flags = '00000003', destination = none, prefix = '00') =>
  `${destination} ${prefix} ${none} 00 fe800000000000000000000000000001 ${metric} 00000001 00000000 ${flags} ${name}`
const sysfs = (table?: string, table6?: string) => ({
  readFile: (path: string) => (path.endsWith('ipv6_route') ? table6 : table),
  list: () => [],
})

test('the default route with the lowest metric says which interface is used', () => {
  const table = [
    head,
    route('eth0', 600, '0000A8C0', '00FFFFFF'),
    route('wwan0', 700),
    route('wlan0', 600),
  ].join('\n')
  expect(defaultInterface(table)).toBe('wlan0')
  expect(defaultInterface(head)).toBeUndefined()
  expect(defaultInterface(undefined)).toBeUndefined()
  expect(defaultInterface('rubbish\nmore rubbish')).toBeUndefined()
})

test('of IPv6 it is the default route that lets something through', () => {
  const table = [
    route6('eth0', '00000001', '00000001', `2001${'0'.repeat(28)}`, '40'),
    route6('wlan0', '00000400'),
    route6('wwan0', '00000100'),
    route6('lo', '00000001', '00200200'),
  ].join('\n')
  expect(defaultInterface6(table)).toBe('wwan0')
  expect(defaultInterface6(route6('lo', 'ffffffff', '00200200'))).toBeUndefined()
  expect(defaultInterface6('rubbish\nmore rubbish')).toBeUndefined()
  expect(defaultInterface6(undefined)).toBeUndefined()
})

test('a link is metered when the way out of either family is', () => {
  const rules = { class: 'unmetered' as const, meteredInterfaces: ['wwan*'] }
  const cable = [head, route('eth0', 1)].join('\n')
  expect(linkClassNow(rules, sysfs(cable, route6('wwan0', '00000400')))).toBe('metered')
  expect(linkClassNow(rules, sysfs(undefined, route6('wwan0', '00000400')))).toBe('metered')
  expect(linkClassNow(rules, sysfs(cable, route6('eth0', '00000400')))).toBe('unmetered')
})

test('the file comes first, then the interface, then the configuration; each look is a new one', () => {
  const classFile = join(directory, 'class')
  const rules = { class: 'unmetered' as const, classFile, meteredInterfaces: ['wwan*', 'ppp0'] }
  const mobile = sysfs([head, route('wwan0', 1)].join('\n'))
  const cable = sysfs([head, route('eth0', 1)].join('\n'))
  expect(linkClassNow(rules, cable)).toBe('unmetered')
  expect(linkClassNow(rules, mobile)).toBe('metered')
  writeFileSync(classFile, 'unmetered\n')
  expect(linkClassNow(rules, mobile)).toBe('unmetered')
  writeFileSync(classFile, 'expensive')
  expect(linkClassNow(rules, mobile)).toBe('metered')
  expect(linkClassNow({ ...rules, class: 'metered' }, cable)).toBe('metered')
})
