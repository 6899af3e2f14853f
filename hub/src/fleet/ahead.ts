import type { Birth } from '@godwit/protocol/messages/presence'
import type { Device } from './device.ts'

/** Versions of the metadata that a hub or a device holds, by role. */
export type Versions = Birth['metadata']

/** What a device knows in a higher version than its hub: directive, root, targets and so on. */
export type Ahead = Record<string, { device: number; hub: number }>

/**
 * What this hub has forgotten, by the word of a device: it was restored from a backup, or somebody signs in its name.
 * Directives by the signed report; metadata by the birth, which any device can make up, so it decides nothing.
 */
export function aheadOf({ directiveVersion, birth, report }: Device, held: Versions): Ahead {
  const device = { directive: report?.directiveVersion ?? 0, ...birth?.metadata }
  const hub = { directive: directiveVersion, ...held }
  const names = (Object.keys(device) as (keyof typeof device)[]).filter((name) => device[name]! > hub[name])
  return Object.fromEntries(names.map((name) => [name, { device: device[name]!, hub: hub[name] }]))
}

/** The device has applied, by its own signed word, a directive that this hub does not remember. */
export function isAhead({ directiveVersion, report }: Pick<Device, 'directiveVersion' | 'report'>): boolean {
  return (report?.directiveVersion ?? 0) > directiveVersion
}

export function isSomething(ahead: Ahead): boolean {
  return Object.keys(ahead).length > 0
}

/** The devices that were found ahead since this hub started: after that, each of them says again what it holds. */
export class AheadDevices {
  readonly #found = new Map<string, Ahead>()

  /** To be asked before the device is heard, as often as a transaction is tried. */
  isNews(deviceId: string, ahead: Ahead): boolean {
    return isSomething(ahead) && !this.#found.has(deviceId)
  }

  /** @param ahead as it was committed; empty: the device is ahead no more */
  heard(deviceId: string, ahead: Ahead): void {
    if (isSomething(ahead)) this.#found.set(deviceId, ahead)
    else this.#found.delete(deviceId)
  }

  /** Those that know of metadata beyond what the hub holds by now, or have yet to answer a directive beyond their own. */
  current(held: Versions): string[] {
    const stands = ([name, { device }]: [string, Ahead[string]]) =>
      device > (held[name as keyof Versions] ?? 0)
    return [...this.#found].filter(([, ahead]) => Object.entries(ahead).some(stands)).map(([id]) => id)
  }
}
