import { createPrivateKey, createPublicKey, sign as nodeSign, verify as nodeVerify } from 'node:crypto'
import { ed25519Verify as curveOfTweetnacl } from '@godwit/protocol/crypto/browser'
import { ed25519Verify as curveOfNode } from '@godwit/protocol/crypto/node'
import { type Directive, defaultProbation } from '@godwit/protocol/messages/directive'
import { canonicalBytes } from '@godwit/protocol/trust/canonical'
import { publicKeyOf, sign, verify } from '@godwit/protocol/trust/ed25519'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import { keyOfSeed } from '@godwit/protocol/trust/key'
import { toRfc3339 } from '@godwit/protocol/units'
import { benchRefresh } from './trust-refresh.ts'

export type Figure = { value: number; unit: string; baseline: number }

const fleetDevices = 10_000
const seed = new Uint8Array(32).fill(7)
/** RFC 8410, for the bare calls that our figures are held against. */
const privateKey = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]),
  format: 'der',
  type: 'pkcs8',
})

/**
 * What trust costs. Verifications are of one directive, by our `verify` with all its checks:
 *
 * - `.node` against bare `node:crypto` with its key object made beforehand, so the gap is our checks and the key import;
 * - `.tweetnacl` against ours on node:crypto, so the ratio is what a browser pays;
 * - the directives are built, made canonical, signed and encoded; the baseline only signs their bytes;
 * - what a refresh carries is told in trust-refresh.ts.
 */
export async function benchTrust(): Promise<Record<string, Figure>> {
  const message = canonicalBytes(directiveOf(0))
  const publicKey = publicKeyOf(seed)
  const signature = sign(seed, message)
  const keyObject = createPublicKey(privateKey)
  const [bare, node, tweetnacl] = perSecond([
    () => nodeVerify(null, message, keyObject, signature),
    () => verify(publicKey, message, signature, curveOfNode),
    () => verify(publicKey, message, signature, curveOfTweetnacl),
  ]) as [number, number, number]
  return {
    'trust.verifyPerSecond.node': { value: node, unit: '1/s', baseline: bare },
    'trust.verifyPerSecond.tweetnacl': { value: tweetnacl, unit: '1/s', baseline: node },
    'trust.directives10kSeconds': { unit: 's', ...directiveSeconds() },
    ...(await benchRefresh()),
  }
}

/** Runs per second of each, the median of rounds taken in turn, so that a busy machine slows all alike. */
function perSecond(checks: readonly (() => boolean)[]): number[] {
  const rounds = 5
  const roundMs = 200
  const rates = checks.map(() => [] as number[])
  for (let round = 0; round <= rounds; round++) {
    for (const [i, check] of checks.entries()) {
      let runs = 0
      const start = performance.now()
      while (performance.now() - start < roundMs) {
        if (!check()) throw new Error('a good signature was refused: this would measure nothing')
        runs++
      }
      // The first round warms up.
      if (round > 0) rates[i]!.push((runs * 1000) / (performance.now() - start))
    }
  }
  return rates.map((of) => of.sort((a, b) => a - b)[Math.floor(rounds / 2)]!)
}

function directiveSeconds(): { value: number; baseline: number } {
  const director = keyOfSeed(seed)
  const devices = Array.from({ length: fleetDevices }, (_, i) => i)
  const messages = devices.map((i) => canonicalBytes(directiveOf(i)))
  const baseline = secondsOf(() => {
    for (const message of messages) nodeSign(null, message, privateKey)
  })
  const value = secondsOf(() => {
    for (const i of devices) encodeEnvelope(signDocument(directiveOf(i), seed, director))
  })
  return { value, baseline }
}

function secondsOf(work: () => void): number {
  const start = performance.now()
  work()
  return (performance.now() - start) / 1000
}

function directiveOf(device: number): Directive {
  const issuedAt = Date.UTC(2026, 0, 1)
  return {
    _type: 'directive',
    specVersion: 1,
    fleet: 'plant',
    deviceId: `gauge-${device}`,
    version: 7,
    issued: toRfc3339(issuedAt),
    expires: toRfc3339(issuedAt + 30 * 86_400_000),
    slots: {
      main: {
        model: 'gauge-reader',
        version: '4.0.0',
        releaseDigest: 'ab'.repeat(32),
        releaseBytes: 4096,
        probation: defaultProbation,
      },
    },
    telemetry: { windowMs: 60_000 },
  }
}
