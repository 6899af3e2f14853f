import { Fault } from '@godwit/protocol/fault'
import type { Directive } from '@godwit/protocol/messages/directive'
import type { Report, SlotReport } from '@godwit/protocol/messages/report'
import type { ResultCode } from '@godwit/protocol/result-code'
import { encodeEnvelope, signDocument } from '@godwit/protocol/trust/envelope'
import type { Refusal } from '@godwit/protocol/trust/refusal'
import { RunnerFailure } from './cage.ts'
import { isAtRest } from './deployment/deployment.ts'
import type { SlotState } from './deployment/journal.ts'
import type { DeviceKey } from './identity.ts'
import { because } from './log.ts'

/** The only place where what went wrong becomes a code on the wire (SPEC 8). */
const codeOfRefusal: Record<Refusal, ResultCode> = {
  malformed: 'malformed',
  'wrong-type': 'malformed',
  'wrong-spec-version': 'malformed',
  'unknown-role': 'bad_signature',
  'bad-signature': 'bad_signature',
  'version-mismatch': 'integrity',
  rollback: 'rollback_refused',
  expired: 'expired_metadata',
  'not-yet-valid': 'clock_untrusted',
  'life-exceeded': 'clock_untrusted',
  'hash-mismatch': 'integrity',
  'length-mismatch': 'integrity',
  'length-exceeded': 'integrity',
  absent: 'link_lost',
  'not-listed': 'not_listed',
  'wrong-fleet': 'wrong_device',
  'wrong-device': 'wrong_device',
  'wrong-audience': 'wrong_device',
  'wrong-passphrase': 'internal',
}

export function codeFor(refusal: Refusal): ResultCode {
  return codeOfRefusal[refusal]
}

export function codeOfError(error: unknown): ResultCode {
  if (error instanceof RunnerFailure) return error.code
  if (isDiskFull(error)) return 'no_space'
  if (error instanceof Fault && (error.code === 'metadata-unavailable' || error.code === 'link-down'))
    return 'link_lost'
  return 'internal'
}

/** SQLITE_FULL is 13; files say ENOSPC or EDQUOT. Looks through causes. */
function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  return code === 'ENOSPC' || code === 'EDQUOT' || errcode === 13 || isDiskFull(error.cause)
}

export function detailOf(error: unknown): string {
  return because(error).slice(0, 1024).toWellFormed()
}

function slotReport({ deployment, active, lastKnownGood }: SlotState): SlotReport {
  const { phase, goal, attempt, code, detail, answered } = deployment
  return {
    phase,
    attempt,
    answered,
    ...(goal && { target: refOf(goal) }),
    ...(active && { active }),
    ...(lastKnownGood && { lastKnownGood: refOf(lastKnownGood) }),
    // While a deployment runs, a code would say that it has ended; the detail may still say what it waits for.
    ...(code && (isAtRest(phase) || phase === 'rolling_back') && { code }),
    // A pair of surrogates that is cut in two is no text that can be signed.
    ...(detail && { detail: detail.slice(0, 1024).toWellFormed() }),
  }
}

/** A goal for a slot that this device does not have must not stay unanswered. */
export function slotReports(
  slots: readonly (readonly [string, SlotState])[],
  directive: Directive | undefined,
): Report['slots'] {
  const names = slots.map(([name]) => name)
  const unknown = Object.entries(directive?.slots ?? {})
    .filter(([name]) => !names.includes(name))
    .map(([name, goal]): [string, SlotReport] => [
      name,
      {
        phase: 'refused',
        target: refOf(goal),
        attempt: 0,
        code: 'malformed',
        detail: `this device has no slot ${name}; it has ${names.join(', ')}`,
        answered: directive!.version,
      },
    ])
  return Object.fromEntries([...slots.map(([name, state]) => [name, slotReport(state)]), ...unknown])
}

function refOf({ model, version, releaseDigest }: { model: string; version: string; releaseDigest: string }) {
  return { model, version, releaseDigest }
}

/** Signed by the device, so that an auditor need not believe the hub about what ran where. */
export function sealReport(report: Report, device: DeviceKey): Uint8Array {
  return encodeEnvelope(signDocument(report, device.seed, device.key))
}
