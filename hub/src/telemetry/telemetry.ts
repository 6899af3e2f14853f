import type { Ack, Batch, EventRecord, WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { Stream } from '@godwit/protocol/topics'
import type { DriftBook } from '../drift/verdicts.ts'
import type { Services } from '../services.ts'
import type { Db } from '../store/database.ts'
import { GroupCommit, groupMs } from '../store/group-commit.ts'
import { type BatchRefusal, openBatch } from './batch.ts'
import { type Ingested, ingest } from './ingest.ts'

export type Receipt =
  | { ok: true; ack: Ack }
  | { ok: false; because: BatchRefusal | 'unknown_device'; detail: string }
type Delivery = { deviceId: string; stream: Stream; payload: Uint8Array }

/** A batch may hold 256 events; live views need to know that there are many, not each. */
const eventsToldMax = 20

type Needs = Pick<Services, 'database' | 'clock' | 'feed' | 'config'>

/** From sealed bytes to rows, in groups; answers when what it answers is durable. */
export class Telemetry {
  readonly #needs: Needs
  readonly #drift: DriftBook
  readonly #commits: GroupCommit<Delivery, Receipt>

  constructor(needs: Needs, drift: DriftBook) {
    this.#needs = needs
    this.#drift = drift
    this.#commits = new GroupCommit(needs.database.transaction, (trx, all) => this.#store(trx, all), groupMs)
  }

  receive(deviceId: string, stream: Stream, payload: Uint8Array): Promise<Receipt> {
    return this.#commits.add({ deviceId, stream, payload })
  }

  flush(): Promise<void> {
    return this.#commits.flush()
  }

  async #store(trx: Db, deliveries: readonly Delivery[]): Promise<Receipt[]> {
    const keys = await publicKeys(trx, [...new Set(deliveries.map(({ deviceId }) => deviceId))])
    const receipts: Receipt[] = []
    for (const { deviceId, stream, payload } of deliveries) {
      const publicKey = keys.get(deviceId)
      if (publicKey === undefined) {
        receipts.push({
          ok: false,
          because: 'unknown_device',
          detail: `${deviceId} is not enrolled, or revoked`,
        })
        continue
      }
      const opened = openBatch(payload, { fleet: this.#needs.config.fleet, deviceId, stream, publicKey })
      receipts.push(opened.ok ? { ok: true, ack: await this.#take(trx, opened.batch) } : opened)
    }
    return receipts
  }

  async #take(trx: Db, batch: Batch): Promise<Ack> {
    const at = this.#needs.clock()
    const ingested = await ingest(trx, batch, at)
    if (batch.stream === 'window' && ingested.settled)
      await this.#drift.take(trx, batch, ingested.settled, at)
    await this.#tell(trx, batch, ingested)
    return ingested.ack
  }

  async #tell(trx: Db, { deviceId, stream, session }: Batch, { fresh, rejected }: Ingested): Promise<void> {
    const { feed } = this.#needs
    const topic = `device:${deviceId}`
    if (rejected.length > 0) {
      const detail = {
        deviceId,
        stream,
        count: rejected.length,
        first: rejected[0]!.seq,
        detail: rejected[0]!.detail,
      }
      await feed.append(trx, {
        topic,
        type: 'telemetry.event',
        data: { kind: 'records_rejected', severity: 'warning', ...detail },
      })
    }
    if (stream === 'window' && fresh.length > 0) {
      const last = fresh[fresh.length - 1]!.body as WindowRecord
      const { slot, model, version, inferences, errors, anomalies, end } = last
      const data = {
        deviceId,
        session,
        windows: fresh.length,
        slot,
        model,
        version,
        inferences,
        errors,
        anomalies,
        end,
      }
      await feed.append(trx, { topic, type: 'device.window', data })
    }
    if (stream === 'event')
      for (const { seq, body } of fresh.slice(0, eventsToldMax)) {
        const { kind, at, slot, severity, detail } = body as EventRecord
        await feed.append(trx, {
          topic,
          type: 'telemetry.event',
          data: { deviceId, seq, kind, at, slot, severity, detail },
        })
      }
  }
}

async function publicKeys(trx: Db, deviceIds: readonly string[]): Promise<Map<string, string>> {
  const rows = await trx
    .selectFrom('device')
    .select(['id', 'public_key'])
    .where('id', 'in', deviceIds)
    .where('revoked_at', 'is', null)
    .execute()
  return new Map(rows.map(({ id, public_key }) => [id, public_key]))
}
