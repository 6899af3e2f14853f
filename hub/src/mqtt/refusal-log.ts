import type { Services } from '../services.ts'

/** A device that repeats itself is one piece of news a minute, with a count. */
const quietMs = 60_000
/** So that inventing client ids or topics does not fill our memory instead of the log. */
const entriesMax = 10_000

/**
 * What was refused goes on record without letting the refused one write the record full. The audit has what a device
 * must not even try; the feed has what it got wrong.
 */
export class RefusalLog {
  readonly #needs: Pick<Services, 'database' | 'audit' | 'feed' | 'clock' | 'log'>
  readonly #last = new Map<string, { at: number; more: number }>()

  constructor(needs: Pick<Services, 'database' | 'audit' | 'feed' | 'clock' | 'log'>) {
    this.#needs = needs
  }

  async note(deviceId: string, because: string, detail: string, isAttack: boolean): Promise<void> {
    const key = `${deviceId} ${because}`
    const at = this.#needs.clock()
    const last = this.#last.get(key)
    if (last && at - last.at < quietMs) {
      last.more++
      return
    }
    if (this.#last.size >= entriesMax) this.#last.clear()
    this.#last.set(key, { at, more: 0 })
    const { database, audit, feed, log } = this.#needs
    const entry = { deviceId, because, detail, suppressed: last?.more ?? 0 }
    log.warn(entry, 'MQTT: message refused')
    await database.transaction(async (trx) => {
      if (isAttack) {
        const who = `device:${deviceId}`
        await audit.append(trx, { who, action: 'mqtt.refused', subject: because, detail: { detail } })
      }
      const data = { kind: `message_${because}`, severity: isAttack ? 'alarm' : 'warning', at, ...entry }
      await feed.append(trx, { topic: `device:${deviceId}`, type: 'telemetry.event', data })
    })
  }
}
