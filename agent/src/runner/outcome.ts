import type { ResultCode } from '@godwit/protocol/result-code'

/** A model that may not serve is an answer, not a fault: it goes to the hub with its code. */
export type Refusal = { ok: false; code: ResultCode; detail: string }
export type Outcome<T> = { ok: true; value: T } | Refusal

export function refuse(code: ResultCode, detail: string): Refusal {
  return { ok: false, code, detail }
}
