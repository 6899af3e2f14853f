import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { Fault } from '@godwit/protocol/fault'
import { certificateAnswer, certificateProofBytes } from '@godwit/protocol/messages/certificate'
import type { TrustedTime } from './clock.ts'
import { readIfThere, writeDurably } from './files.ts'
import { httpHeaders, isPassing, postJson } from './hub-http.ts'
import type { Identity } from './identity.ts'
import { backoffMs } from './link/backoff.ts'
import { because, type Log } from './log.ts'
import type { Paths } from './paths.ts'

export type CertificateDeps = { fetch: typeof fetch; time: TrustedTime }

/**
 * A client certificate by the hub's own authority (SPEC 3.9), for a key of its own that is made here each time. Key and
 * certificate are written together when the answer is there, so a power cut before that leaves the pair that was.
 *
 * @throws Fault `hub-unreachable` when it should be tried again, `certificate-refused` when the hub says no
 */
export async function renewCertificate(
  paths: Paths,
  identity: Identity,
  deps: CertificateDeps,
): Promise<void> {
  const { fleet, deviceId, httpUrl } = identity.enrolment
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicKey = pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  const proof = sign('sha256', certificateProofBytes({ fleet, deviceId, publicKey }), pair.privateKey)
  const url = new URL(`/api/v1/devices/${encodeURIComponent(deviceId)}/certificate`, httpUrl)
  const text = await post(url, { publicKey, proof: proof.toString('base64') }, identity, deps)
  const { certificate } = answerIn(text)
  if (!new X509Certificate(certificate).checkPrivateKey(pair.privateKey))
    throw new Fault('certificate-refused', 'the hub answered with a certificate for another key')
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  writeDurably(paths.clientCertificate, key + certificate, 0o600)
}

function answerIn(text: string) {
  try {
    const read = certificateAnswer.check(JSON.parse(text))
    if (read.ok) return read.value
  } catch {}
  throw new Fault('certificate-refused', `the hub answered with no certificate: ${text.slice(0, 300)}`)
}

async function post(
  url: URL,
  body: object,
  identity: Identity,
  { fetch, time }: CertificateDeps,
): Promise<string> {
  const headers = httpHeaders(identity, time)
  const answer = await postJson(url, JSON.stringify(body), 'for a certificate', { fetch, headers })
  if (answer.ok) return answer.text
  const code = isPassing(answer) ? 'hub-unreachable' : 'certificate-refused'
  throw new Fault(
    code,
    `the hub answered the request for a certificate with ${answer.status}: ${answer.text.slice(0, 300)}`,
  )
}

/** None, one that cannot be read, or less than a third of its life left. @param nowMs milliseconds since 1970 */
export function isCertificateDue(pem: string | undefined, nowMs: number): boolean {
  try {
    const { validFromDate, validToDate } = new X509Certificate(pem ?? '')
    const lifeMs = validToDate.getTime() - validFromDate.getTime()
    return validToDate.getTime() - nowMs < lifeMs / 3
  } catch {
    return true
  }
}

/** As for the link: without a certificate there may be none. */
const retryLimits = { backoffMsMin: 5_000, backoffMsMax: 300_000 }

/** Sees to it that this device has a certificate that is good, from its first start on, with no person and no restart. */
export class CertificateKeeper {
  readonly #paths: Paths
  readonly #identity: Identity
  readonly #deps: CertificateDeps & { log: Log; random: () => number }
  #failures = 0
  /** Of a time that no clock can set ahead: a wrong one is why a certificate cannot be had. */
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #underway: Promise<void> | undefined

  constructor(paths: Paths, identity: Identity, deps: CertificateDeps & { log: Log; random: () => number }) {
    this.#paths = paths
    this.#identity = identity
    this.#deps = deps
  }

  /** Called often; mostly there is nothing to do. Never rejects. */
  look(): Promise<void> {
    const { time } = this.#deps
    if (this.#underway) return this.#underway
    const isDue = isCertificateDue(readIfThere(this.#paths.clientCertificate)?.toString(), time.nowMs())
    if (!isDue || time.leastMs() < this.#notBeforeMs) return Promise.resolve()
    return this.renew()
  }

  /** Now, whatever the age of the one that is there. Never rejects. */
  renew(): Promise<void> {
    this.#underway ??= this.#renew().finally(() => {
      this.#underway = undefined
    })
    return this.#underway
  }

  async #renew(): Promise<void> {
    const { log, time, random } = this.#deps
    try {
      await renewCertificate(this.#paths, this.#identity, this.#deps)
      this.#failures = 0
      log.info({}, 'client certificate renewed')
    } catch (error) {
      const waitMs = backoffMs(++this.#failures, retryLimits, random())
      this.#notBeforeMs = time.leastMs() + waitMs
      log.warn({ because: because(error), waitMs }, 'cannot get a client certificate yet')
    }
  }
}
