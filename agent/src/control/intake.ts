import { checkBody, type EventRecord, type WindowRecord } from '@godwit/protocol/messages/telemetry'
import type { DurationMs } from '@godwit/protocol/units'
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
  /** The disk has begun to take nothing. */
  onHeldUp: (reason: string) => void
  /** It takes writes again, and everything that had waited is stored. */
  onRecovered: (outage: Outage) => void
}

/** `windowsDropped`: their counts are lost, their events are not. */
export type Outage = {
  durationMs: DurationMs
  windowsHeld: number
  windowsDropped: number
  eventsDropped: number
}

const retryMs = 5_000
/** Two weeks of one-minute windows without drift counts, four hours of the largest; what a gateway can spare. */
const heldBytesMax = 16 * 2 ** 20

type Pending = {
  /** Absent where a runner only answered its last requests: that moves no source. */
  checkpoint: Checkpoint | undefined
  record: WindowRecord | undefined
  events: EventRecord[]
  bytes: number
}

/**
 * From a runner's window to the spool: adds the energy, and stores window, events and checkpoint as one. While the disk
 * takes nothing, the model serves on: windows wait here in order, and a control that dies meanwhile reads them again
 * from the source. When they become too many, the oldest counts go first, then the oldest events, and both are told.
 */
export class Intake {
  readonly #deps: IntakeDeps
  readonly #pending: Pending[] = []
  #timer: NodeJS.Timeout | undefined
  #heldUpSinceMs: number | undefined
  #outage = noOutage()

  constructor(deps: IntakeDeps) {
    this.#deps = deps
  }

  take({ window, record, events, checkpoint }: WindowMessage, cage: Cage): void {
    const bytes = JSON.stringify({ record, events }).length
    this.#pending.push({ checkpoint, record: this.#measured(record, checkpoint), events, bytes })
    this.#store()
    // Stored or held: the runner need not keep it. Its checkpoint is what a successor is given.
    cage.stored(window)
    if (this.#heldUpSinceMs === undefined) return
    this.#outage.windowsHeld++
    this.#makeRoom()
    const { slot, log } = this.#deps
    log.debug({ slot, held: this.#pending.length, ...this.#outage }, 'a window waits for the disk')
  }

  /** The last requests of a runner that was replaced have no energy of their own: the meter is its successor's by then. */
  #measured(record: WindowRecord, checkpoint: Checkpoint | undefined): WindowRecord {
    if (!checkpoint) return record
    return { ...record, energy: this.#deps.energy.close(this.#deps.monotonicMs(), record.inferences) }
  }

  /** Where the source goes on when windows wait for the disk: the stored place would repeat what they hold. */
  get pendingCheckpoint(): Checkpoint | undefined {
    return this.#pending.findLast(({ checkpoint }) => checkpoint)?.checkpoint
  }

  /** What still waits is measured again after the next start, as far as the source can go back. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#store()
    clearTimeout(this.#timer)
    const { slot, log } = this.#deps
    if (this.#pending.length > 0)
      log.error(
        { slot, held: this.#pending.length, ...this.#outage },
        'stopped before the disk took these windows',
      )
  }

  #store(): void {
    clearTimeout(this.#timer)
    for (let next = this.#pending[0]; next; next = this.#pending[0]) {
      try {
        this.#storeOne(next)
      } catch (error) {
        this.#timer = setTimeout(() => this.#store(), retryMs)
        this.#heldUp(because(error))
        return
      }
      this.#pending.shift()
    }
    this.#recovered()
    this.#deps.onStored()
  }

  #heldUp(reason: string): void {
    if (this.#heldUpSinceMs !== undefined) return
    this.#heldUpSinceMs = this.#deps.monotonicMs()
    this.#deps.log.error({ slot: this.#deps.slot, because: reason }, 'cannot store windows')
    this.#deps.onHeldUp(reason)
  }

  #recovered(): void {
    if (this.#heldUpSinceMs === undefined) return
    const durationMs = Math.round(this.#deps.monotonicMs() - this.#heldUpSinceMs)
    const outage = { ...this.#outage, durationMs }
    this.#heldUpSinceMs = undefined
    this.#outage = noOutage()
    this.#deps.log.warn({ slot: this.#deps.slot, ...outage }, 'windows are stored again')
    this.#deps.onRecovered(outage)
  }

  #makeRoom(): void {
    let over = this.#pending.reduce((sum, { bytes }) => sum + bytes, 0) - heldBytesMax
    for (const held of this.#pending) {
      if (over <= 0) return
      if (!held.record) continue
      const bytes = JSON.stringify(held.events).length
      over -= held.bytes - bytes
      held.record = undefined
      held.bytes = bytes
      this.#outage.windowsDropped++
    }
    while (over > 0 && this.#pending.length > 1) {
      const { bytes, events } = this.#pending.shift()!
      over -= bytes
      this.#outage.eventsDropped += events.length
    }
  }

  #storeOne({ checkpoint, record, events }: Pending): void {
    const { slot, spool, database, time, log } = this.#deps
    const nowMs = time.leastMs()
    const entries: Entry[] = []
    const checked = record && checkBody('window', record)
    // A record that the hub would refuse is a fault of ours; its place in the source is passed all the same.
    if (checked?.ok) entries.push({ stream: 'window', body: checked.value, at: nowMs })
    else if (checked) log.error({ slot, because: checked.detail }, 'window left out')
    for (const event of events) {
      const body: EventRecord = { ...event, slot }
      const read = checkBody('event', body)
      if (read.ok) entries.push({ stream: 'event', body, at: nowMs })
      else log.error({ slot, because: read.detail }, 'event left out')
    }
    spool.append(entries, nowMs, () => {
      if (checkpoint) writeCheckpoint(database, slot, checkpoint)
      if (checked?.ok) this.#deps.observe(checked.value)
    })
  }
}

function noOutage(): Omit<Outage, 'durationMs'> {
  return { windowsHeld: 0, windowsDropped: 0, eventsDropped: 0 }
}
