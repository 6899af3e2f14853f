import { Fault } from '@godwit/protocol/fault'
import { type EnrolmentAnswer, keyFingerprint } from '@godwit/protocol/messages/enrolment'
import type { AgentConfig } from '../config.ts'
import { type DeviceKey, enrol, publicKeyHex, type Ticket, ticketOf } from './identity.ts'
import { backoffMs } from './link/backoff.ts'
import { authorityOf } from './link/hub-authority.ts'
import type { HubTls } from './link/tls.ts'
import { because, type Log } from './log.ts'
import { pathsIn } from './paths.ts'

export type JoinDeps = {
  fetch: typeof fetch
  log: Log
  random: () => number
  /** Whom `fetch` believes; told of the hub's own authority before the first request. */
  tls: HubTls
}

/** A hub that is not there yet is waited for, and so is a person there; one that says no ends the agent. */
export async function join(
  config: AgentConfig,
  { fetch, log, random, tls }: JoinDeps,
  device: DeviceKey,
  signal?: AbortSignal,
): Promise<EnrolmentAnswer> {
  const ticket = ticketIn(config)
  const { deviceId } = config.join
  for (let failures = 1, toldOfWaiting = false; ; ) {
    try {
      tls.believed ??= await namedAuthority(ticket, config, signal)
      const answer = await enrol(pathsIn(config.stateDir), device, ticket, {
        fetch,
        deviceId,
        ...(signal && { signal }),
      })
      if (!('pending' in answer)) return answer
      const { retryAfterMs } = answer
      // Our own and not the hub's word for it: the two are compared. Once: this may take until Monday.
      const fingerprint = keyFingerprint(publicKeyHex(device))
      if (!toldOfWaiting)
        log.info({ fingerprint }, 'waiting until an operator of the hub lets this device in')
      toldOfWaiting = true
      failures = 1
      await pause(retryAfterMs * (0.75 + random() / 2), signal)
      signal?.throwIfAborted()
    } catch (error) {
      if (signal?.aborted || !(error instanceof Fault) || !passing.has(error.code)) throw error
      const waitMs = backoffMs(failures++, config.link, random())
      log.warn({ because: because(error), waitMs }, 'cannot enrol yet')
      await pause(waitMs, signal)
    }
  }
}

/** A login page between the device and its hub goes away again, like a hub that is down. */
const passing = new Set(['hub-unreachable', 'hub-authority-wrong'])

/** A file that the configuration names says more than a digest. */
async function namedAuthority(
  { url, caSha256 }: Ticket,
  { tls }: AgentConfig,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (caSha256 === undefined || tls.caFile !== undefined || !url.startsWith('https:')) return undefined
  return await authorityOf(url, caSha256, signal)
}

function ticketIn({ join: { token, hubUrl, rootSha256, caSha256 }, stateDir }: AgentConfig): Ticket {
  if (token !== undefined) return ticketOf(token)
  if (hubUrl !== undefined && rootSha256 !== undefined)
    return { url: hubUrl, rootSha256, ...(caSha256 !== undefined && { caSha256 }) }
  throw new Fault(
    'not-enrolled',
    `${stateDir} belongs to no fleet yet; give a join token (join.token, join.tokenFile or --join), or join.hubUrl and join.rootSha256`,
  )
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
  })
}
