/**
 * How a deployment ended, as a closed list (SPEC 8). The class says what the hub may do:
 * `retryable` may be tried again as it is, `environment` when the device has changed, `terminal` never.
 */
export const resultCodes = {
  ok: 'terminal',
  link_lost: 'retryable',
  slow_source: 'retryable',
  internal: 'retryable',
  no_space: 'environment',
  out_of_memory: 'environment',
  deferred: 'environment',
  outside_window: 'environment',
  budget_bytes: 'environment',
  budget_energy: 'environment',
  expired_metadata: 'environment',
  clock_untrusted: 'environment',
  integrity: 'terminal',
  bad_signature: 'terminal',
  not_listed: 'terminal',
  rollback_refused: 'terminal',
  wrong_device: 'terminal',
  malformed: 'terminal',
  unsupported_opset: 'terminal',
  unsupported_ep: 'terminal',
  unsupported_arch: 'terminal',
  io_schema_mismatch: 'terminal',
  selftest_load: 'terminal',
  selftest_crash: 'terminal',
  selftest_timeout: 'terminal',
  selftest_accuracy: 'terminal',
  selftest_latency: 'terminal',
  selftest_memory: 'terminal',
  selftest_energy: 'terminal',
  probation_crash: 'terminal',
  probation_error_rate: 'terminal',
  probation_drift: 'terminal',
  probation_latency: 'terminal',
  probation_energy: 'terminal',
  quarantined: 'terminal',
  superseded: 'terminal',
  cancelled: 'terminal',
} as const satisfies Record<string, 'retryable' | 'environment' | 'terminal'>

export type ResultCode = keyof typeof resultCodes
export const resultCodeNames = Object.keys(resultCodes) as ResultCode[]
