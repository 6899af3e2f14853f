import { Repeats } from '../repeats.ts'
import type { Services } from '../services.ts'

/**
 * What was refused goes on record without letting the refused one write the record full. The audit has what a device
 * must not even try; the feed has what it got wrong.
 */
export class RefusalLog {
  readonly #needs: Pick<Services, 'database' | 'audit' | 'feed' | 'clock' | 'log'>
  readonly #repeats = new Repeats(10_000)

  constructor(needs: Pick<Services, 'database' | 'audit' | 'feed' | 'clock' | 'log'>) {
    this.#needs = needs
  }

  async note(deviceId: string, because: string, detail: string, isAttack: boolean): Promise<void> {
    const at = this.#needs.clock()
    const suppressed = this.#repeats.heard(`${deviceId} ${because}`, at)
    if (suppressed === undefined) return
    const { database, audit, feed, log } = this.#needs
    const entry = { deviceId, because, detail, suppressed }
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
