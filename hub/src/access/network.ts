import { isIPv6 } from 'node:net'

/**
 * What counts as one address when somebody is made to wait: an IPv6 customer has a whole /64 (RFC 6177), so guessing from
 * all of it is guessing from one place. IPv4 stays as it is, also where a socket shows it as IPv6.
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined || !isIPv6(address)) return mapped ?? address
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const [left, right] = [head, tail ?? ''].map((groups) => (groups ? groups.split(':') : []))
  const zeros = tail === undefined ? [] : Array<string>(8 - left!.length - right!.length).fill('0')
  const first = [...left!, ...zeros, ...right!].slice(0, 4)
  return `${first.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
