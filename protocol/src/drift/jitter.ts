import { sha256 } from '@noble/hashes/sha2.js'

/**
 * Tie-breaker of statistic `s` in window `w`: 32 bits that both sides compute and nobody picks.
 * Without it a constant or rounded feature has ties, and the urn law that bounds false alarms needs ranks.
 */
export function jitter32(seed: number, window: number, statistic: number): number {
  return fmix32((seed + Math.imul(window, 0x9e3779b1) + Math.imul(statistic + 1, 0x85ebca77)) >>> 0)
}

/** The finaliser of MurmurHash3 (A. Appleby, public domain): a bijection on 32-bit integers. */
export function fmix32(value: number): number {
  let h = value >>> 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The seed of one device's feature. Bound to the bundle's digest, so that a new release draws new jitter. */
export function deviceSeed(deviceId: string, feature: string, bundleDigest: string): number {
  const digest = sha256(new TextEncoder().encode(`${deviceId}\u0000${feature}\u0000${bundleDigest}`))
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0)
}
