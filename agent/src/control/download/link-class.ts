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
 * the interface that the default route leaves by; then what the configuration says. Read anew each time: a device that
 * moves from Wi-Fi to a SIM card does not restart.
 *
 * Which interface a single connection takes is the kernel's to decide, so this is the class of the default route.
 */
export function linkClassNow(rules: LinkClassRules, sysfs: Sysfs): LinkClass {
  const said = rules.classFile === undefined ? undefined : wordIn(rules.classFile)
  if (said) return said
  const name = defaultInterface(sysfs.readFile('/proc/net/route'))
  if (name !== undefined && rules.meteredInterfaces.some((pattern) => fits(name, pattern))) return 'metered'
  return rules.class
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

/** `wwan*` fits `wwan0`. */
function fits(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}
