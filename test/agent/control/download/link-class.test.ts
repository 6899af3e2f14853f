import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultInterface, linkClassNow } from '@godwit/agent/control/download/link-class'
import { afterAll, expect, test } from 'vitest'

const directory = mkdtempSync(join(tmpdir(), 'godwit-class-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const head = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT'
const route = (name: string, metric: number, destination = '00000000', mask = '00000000') =>
  `${name}\t${destination}\t0100000A\t0003\t0\t0\t${metric}\t${mask}\t0\t0\t0`
const sysfs = (table?: string) => ({ readFile: () => table, list: () => [] })

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
