import { readFileSync } from 'node:fs'
import type { Sysfs } from '../../energy/sysfs.ts'

export const linkClasses = ['unmetered', 'metered'] as const
export type LinkClass = (typeof linkClasses)[number]

export type LinkClassRules = {
  class: LinkClass
  classFile?: string | undefined
  meteredInterfaces: readonly string[]
}

/**
 * What the link costs at this moment. A file that a modem script or a person writes comes first, because they know; then
 * the interfaces that the default routes leave by, of IPv4 and of IPv6; then what the configuration says. Read anew each time: a device that
 * moves from Wi-Fi to a SIM card does not restart.
 *
 * Which interface a single connection takes is the kernel's to decide, so this is the class of the default routes.
 */
export function linkClassNow(rules: LinkClassRules, sysfs: Sysfs): LinkClass {
  const said = rules.classFile === undefined ? undefined : wordIn(rules.classFile)
  if (said) return said
  // Metrics of the two families do not compare, and either may carry the connection: one that costs is enough.
  const names = [
    defaultInterface(sysfs.readFile('/proc/net/route')),
    defaultInterface6(sysfs.readFile('/proc/net/ipv6_route')),
  ]
  const isMetered = names.some((name) => name && rules.meteredInterfaces.some((one) => fits(name, one)))
  return isMetered ? 'metered' : rules.class
}

function wordIn(path: string): LinkClass | undefined {
  try {
    const word = readFileSync(path, 'utf8').trim()
    return linkClasses.find((known) => known === word)
  } catch {
    return undefined
  }
}

/** The interface of the default route with the lowest metric, from the kernel's table (proc(5): destination 0, mask 0). */
export function defaultInterface(table: string | undefined): string | undefined {
  const routes = (table ?? '')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, destination, , flags, , , , mask]) => {
      const isUp = (Number.parseInt(flags ?? '0', 16) & 1) === 1
      return destination === '00000000' && mask === '00000000' && isUp
    })
    .sort((a, b) => Number(a[6]) - Number(b[6]))
  return routes[0]?.[0]
}

/**
 * The same of IPv6, whose table has no head and hexadecimal metrics. Where there is no way out the kernel lists a default
 * route that refuses (RTF_REJECT, 0x200).
 */
export function defaultInterface6(table: string | undefined): string | undefined {
  const routes = (table ?? '')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([destination, prefix, , , , , , , flags]) => {
      const isUsable = (Number.parseInt(flags ?? '0', 16) & 0x201) === 1
      return /^0{32}$/.test(destination ?? '') && prefix === '00' && isUsable
    })
    .sort((a, b) => Number.parseInt(a[5]!, 16) - Number.parseInt(b[5]!, 16))
  return routes[0]?.[9]
}

/** `wwan*` fits `wwan0`. */
function fits(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}
