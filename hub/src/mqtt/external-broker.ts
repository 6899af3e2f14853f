import { deviceMay } from '@godwit/protocol/topics'
import type { Services } from '../services.ts'
import { admit, mayConnect } from './admission.ts'
import { RefusalLog } from './refusal-log.ts'

export type ConnectQuestion = { clientId?: string; username?: string; password?: string }
export type PublishQuestion = {
  clientId?: string
  username?: string
  topic?: string
  /** Absent: this broker does not tell. */
  retain?: boolean
  bytes?: number
}
export type SubscribeQuestion = { clientId?: string; username?: string; filter?: string }

/** The same answers as the embedded broker's doorkeeper gives, from the same functions (SPEC 2.4, 3.4). */
export type Decisions = {
  mayConnect(question: ConnectQuestion): Promise<boolean>
  /** Is this client still who it was when it came in? */
  mayStay(question: { clientId?: string; username?: string }): Promise<boolean>
  mayPublish(question: PublishQuestion): Promise<boolean>
  /** Also for one delivery: a topic without wildcards is a filter that matches itself. */
  maySubscribe(question: SubscribeQuestion): Promise<boolean>
  /** Puts it on record, once a minute for each device and reason. */
  denied(clientId: string | undefined, because: string, detail: string): Promise<void>
}

type Needs = Pick<Services, 'fleet' | 'config' | 'database' | 'audit' | 'feed' | 'clock' | 'log'>

export function createDecisions(services: Needs): Decisions {
  const { fleet, config, log } = services
  const refusals = new RefusalLog(services)

  async function isEnrolled(deviceId: string): Promise<boolean> {
    const device = await fleet.device(deviceId)
    return device !== undefined && device.revokedAt === undefined
  }

  async function denied(clientId: string | undefined, because: string, detail: string): Promise<void> {
    try {
      // Names of nobody share one place in the record, or whoever invents names would fill it.
      const known = clientId !== undefined && (await fleet.device(clientId)) ? clientId : 'unknown'
      await refusals.note(known, because, detail.slice(0, 300), true)
    } catch (err) {
      log.error({ err }, 'refusal could not be recorded')
    }
  }

  async function mayStay({ clientId, username }: { clientId?: string; username?: string }): Promise<boolean> {
    return clientId !== undefined && clientId === username && (await isEnrolled(clientId))
  }

  return {
    denied,
    mayStay,
    async mayConnect({ clientId = '', username, password }) {
      return mayConnect({ fleet, log }, clientId, username, password)
    },
    async mayPublish({ topic = '', bytes = 0, retain = false, ...who }) {
      if (!(await mayStay(who))) return false
      return admit(config.fleet, who.clientId ?? '', { topic, bytes, retain }).admitted
    },
    async maySubscribe({ filter = '', ...who }) {
      if (!(await mayStay(who))) return false
      return deviceMay(config.fleet, who.clientId ?? '', 'subscribe', filter)
    },
  }
}
