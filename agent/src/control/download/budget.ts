import type { Account, Ledger } from './ledger.ts'
import type { LinkClass } from './link-class.ts'
import { type Allowance, allowedBytes } from './plan.ts'

/** An absent limit is no limit. Bytes are payload; headers and what TCP sends again are not seen from here. */
export type ClassLimits = {
  bytesPerSecondMax?: number
  releaseBytesMax?: number
  dayBytesMax?: number
  monthBytesMax?: number
}

export type BudgetRules = Allowance & { retriesMax: number } & Record<LinkClass, ClassLimits>

/** `isFinal`: waiting does not help, so the deployment ends with `budget_bytes`; otherwise the next day or month may. */
export type Overrun = { detail: string; isFinal: boolean }

/** A quarter of a setback earned back by each block that arrives: a link that dies often and gets on may go on. */
const earnedPerBlock = 0.25
const strideBytesMin = 65_536
const strideBytesMax = 1_048_576

/**
 * What a download may cost. The plan is made before the first byte: what is missing and an overhead. Whatever goes beyond
 * it, by holes, by servers that send everything, by wrong blocks, ends the download instead of running up a bill.
 */
export class Budget {
  readonly #ledger: Ledger
  readonly #rules: BudgetRules
  readonly #classNow: () => LinkClass

  constructor(ledger: Ledger, rules: BudgetRules, classNow: () => LinkClass) {
    this.#ledger = ledger
    this.#rules = rules
    this.#classNow = classNow
  }

  get linkClass(): LinkClass {
    return this.#classNow()
  }

  get limits(): ClassLimits {
    return this.#rules[this.#classNow()]
  }

  /** Adds a part to a release's plan, once: what is lost on the disk later must fit what was planned. */
  plan(release: string, part: string, missingBytes: number): Overrun | undefined {
    const account = this.#ledger.account(release)
    if (!Object.hasOwn(account.planned, part)) {
      account.planned[part] = missingBytes
      this.#ledger.store()
    }
    const linkClass = this.#classNow()
    const { releaseBytesMax = Number.POSITIVE_INFINITY } = this.#rules[linkClass]
    const planned = plannedBytes(account)
    if (planned <= releaseBytesMax) return undefined
    const detail = `${planned} bytes to fetch over a link that is ${linkClass}, at most ${releaseBytesMax} allowed for a release`
    return { detail, isFinal: true }
  }

  /** Bytes that may still come for this release now. */
  room(release: string): number {
    const account = this.#ledger.account(release)
    const linkClass = this.#classNow()
    const { dayBytesMax = Number.POSITIVE_INFINITY, monthBytesMax = Number.POSITIVE_INFINITY } =
      this.#rules[linkClass]
    const { dayBytes, monthBytes } = this.#ledger.usage(linkClass)
    return Math.min(
      this.#allowed(account) - account.receivedBytes,
      dayBytesMax - dayBytes,
      monthBytesMax - monthBytes,
    )
  }

  /** Why there is no room; undefined while there is. */
  overrun(release: string): Overrun | undefined {
    const account = this.#ledger.account(release)
    const allowed = this.#allowed(account)
    if (account.receivedBytes >= allowed) {
      const { receivedBytes } = account
      const detail = `${receivedBytes} bytes came over the link, ${plannedBytes(account)} were planned and ${allowed} allowed`
      return { detail, isFinal: true }
    }
    const linkClass = this.#classNow()
    const { dayBytesMax, monthBytesMax } = this.#rules[linkClass]
    const { dayBytes, monthBytes, day, month } = this.#ledger.usage(linkClass)
    if (dayBytesMax !== undefined && dayBytes >= dayBytesMax)
      return { detail: spent(linkClass, dayBytes, dayBytesMax, day), isFinal: false }
    if (monthBytesMax !== undefined && monthBytes >= monthBytesMax)
      return { detail: spent(linkClass, monthBytes, monthBytesMax, month), isFinal: false }
    return undefined
  }

  charge(release: string, bytes: number): void {
    const account = this.#ledger.account(release)
    const strideBytes = Math.min(strideBytesMax, Math.max(strideBytesMin, this.#allowed(account) / 16))
    const { dayBytesMax, monthBytesMax } = this.limits
    // What a power cut takes away with its count comes again within the plan, but not within a day's bytes.
    const isForced = dayBytesMax !== undefined || monthBytesMax !== undefined
    this.#ledger.charge(account, this.#classNow(), bytes, { strideBytes, isForced })
  }

  progressed(release: string): void {
    const account = this.#ledger.account(release)
    account.setbacks = Math.max(0, account.setbacks - earnedPerBlock)
  }

  /** False when the release has had as many as it may: the budget is the release's, not the request's. */
  setback(release: string): boolean {
    const account = this.#ledger.account(release)
    account.setbacks++
    this.#ledger.store()
    return account.setbacks <= this.#rules.retriesMax
  }

  store(): void {
    this.#ledger.store()
  }

  /** What is planned anew starts with nothing received. */
  forget(isForgotten: (release: string) => boolean): void {
    this.#ledger.forget(isForgotten)
  }

  #allowed(account: Account): number {
    return allowedBytes(plannedBytes(account), this.#rules)
  }
}

function plannedBytes({ planned }: Account): number {
  return Object.values(planned).reduce((sum, bytes) => sum + bytes, 0)
}

function spent(linkClass: LinkClass, bytes: number, bytesMax: number, period: string): string {
  return `${bytes} of ${bytesMax} bytes that a link that is ${linkClass} may carry in ${period} (UTC) are spent; it waits for the next`
}
