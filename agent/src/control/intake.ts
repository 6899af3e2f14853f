import { checkBody, type EventRecord, type WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { Checkpoint } from '../runner/messages.ts'
import type { Cage } from './cage.ts'
import type { TrustedTime } from './clock.ts'
import { because, type Log } from './log.ts'
import type { WindowMessage } from './serving.ts'
import type { Entry, Spool } from './spool/spool.ts'
import type { Database } from './state/database.ts'
import { writeCheckpoint } from './state/memory.ts'
import type { SlotEnergy } from './windows.ts'

export type IntakeDeps = {
  slot: string
  database: Database
  spool: Spool
  energy: SlotEnergy
  time: TrustedTime
  monotonicMs: () => number
  log: Log
  /** Called within the transaction that stores the window. */
  observe: (record: WindowRecord) => void
  onStored: () => void
}

const retryMs = 5_000

type Pending = { message: WindowMessage; record: WindowRecord; cage: Cage }

/**
 * From a runner's window to the spool: adds the energy, stores window, events and checkpoint as one, and only then
 * tells the runner. While the disk takes nothing, windows wait here in order, and the runner's own limit stops it.
 */
export class Intake {
  readonly #deps: IntakeDeps
  readonly #pending: Pending[] = []
  #timer: NodeJS.Timeout | undefined
  #isFailing = false

  constructor(deps: IntakeDeps) {
    this.#deps = deps
  }

  take(message: WindowMessage, cage: Cage): void {
    const energy = this.#deps.energy.close(this.#deps.monotonicMs(), message.record.inferences)
    this.#pending.push({ message, record: { ...message.record, energy }, cage })
    this.#store()
  }

  /** Where the source goes on when windows wait for the disk: the stored place would repeat what they hold. */
  get pendingCheckpoint(): Checkpoint | undefined {
    return this.#pending.at(-1)?.message.checkpoint
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #store(): void {
    clearTimeout(this.#timer)
    for (let next = this.#pending[0]; next; next = this.#pending[0]) {
      try {
        this.#storeOne(next)
      } catch (error) {
        if (!this.#isFailing)
          this.#deps.log.error({ slot: this.#deps.slot, because: because(error) }, 'cannot store windows')
        this.#isFailing = true
        this.#timer = setTimeout(() => this.#store(), retryMs)
        return
      }
      this.#isFailing = false
      this.#pending.shift()
      next.cage.stored(next.message.window)
    }
    this.#deps.onStored()
  }

  #storeOne({ message, record }: Pending): void {
    const { slot, spool, database, time, log } = this.#deps
    const nowMs = time.nowMs()
    const entries: Entry[] = []
    const checked = checkBody('window', record)
    // A record that the hub would refuse is a fault of ours; its place in the source is passed all the same.
    if (checked.ok) entries.push({ stream: 'window', body: record, at: nowMs })
    else log.error({ slot, because: checked.detail }, 'window left out')
    for (const event of message.events) {
      const body: EventRecord = { ...event, slot }
      const read = checkBody('event', body)
      if (read.ok) entries.push({ stream: 'event', body, at: nowMs })
      else log.error({ slot, because: read.detail }, 'event left out')
    }
    spool.append(entries, nowMs, () => {
      writeCheckpoint(database, slot, message.checkpoint)
      if (checked.ok) this.#deps.observe(record)
    })
  }
}
