import type { Generated } from 'kysely'

/**
 * Every table of the hub. Names are snake_case here and only here; the stores translate once. Times are epoch
 * milliseconds, `*_json` columns hold documents that have passed their schema.
 */
export interface Tables {
  setting: { key: string; value: string }

  model_signature: {
    model: string
    version: string
    sha256: string
    size_bytes: number
    hint: string
    root: string
    added_at: number
    added_by: string
  }

  api_token: {
    id: string
    name: string
    /** Roles with commas between them, here and below. */
    role: string
    hash: string
    created_at: number
    expires_at: number | null
    revoked_at: number | null
    last_used_at: number | null
    user_id: string | null
    scopes_json: string | null
  }
  login_link: {
    hash: string
    role: string
    created_at: number
    expires_at: number
    used_at: number | null
    /** Whom it invites; null: it opens one browser. */
    user_id: string | null
  }
  browser_session: {
    hash: string
    who: string
    role: string
    created_at: number
    expires_at: number
    user_id: string | null
  }
  person: {
    id: string
    name: string
    roles: string
    /** scrypt with its parameters. */
    password: string | null
    oidc_issuer: string | null
    oidc_subject: string | null
    disabled_at: number | null
    created_at: number
    last_login_at: number | null
  }

  registered_key: {
    public_key: string
    device_id: string
    labels_json: string
    registered_at: number
    registered_by: string
  }
  pending_device: {
    public_key: string
    wanted_id: string | null
    address: string
    first_at: number
    last_at: number
    rejected_at: number | null
  }
  join_token: {
    id: string
    hash: string
    labels_json: string
    /** The only name it is good for; null: any. */
    device_id: string | null
    uses_max: number
    uses: number
    created_at: number
    expires_at: number
    revoked_at: number | null
  }
  device: {
    id: string
    public_key: string
    labels_json: string
    enrolled_at: number
    revoked_at: number | null
    /** online | sleeping | offline, as the broker and the device's will tell. */
    status: string
    boot_id: string | null
    connection: number
    last_seen_at: number | null
    birth_json: string | null
    /** The signed envelope as it came, so that it can be proved again. */
    report_json: string | null
    report_session: string | null
    report_version: number
    directive_version: number
  }
  /** What the device's last report says of each slot; none of a revoked one. */
  device_slot: {
    device_id: string
    slot: string
    phase: string
    code: string | null
    /** The active release; null: none. */
    model: string | null
    version: string | null
    release_digest: string | null
  }
  directive: { device_id: string; version: number; envelope: string; issued_at: number; expires_at: number }
  /** What the hub wants in each slot; the directive is its signed form. */
  goal: {
    device_id: string
    slot: string
    model: string
    version: string
    release_digest: string
    release_bytes: number
    probation_json: string
    install_windows_json: string | null
    force: number
    /** Telemetry window that whoever set the goal asked for; null: the config's. */
    window_ms: number | null
    set_by: string
    set_at: number
  }

  model: { name: string; description: string; created_at: number }
  version: {
    model: string
    version: string
    release_digest: string
    release_counter: number
    release_bytes: number
    release_json: string
    created_at: number
    created_by: string
    /** When the signed targets first listed it; null: uploaded, not yet released. */
    listed_at: number | null
    /** When the signed targets stopped listing it. */
    delisted_at: number | null
  }
  alias: { model: string; alias: string; version: string; set_at: number; set_by: string }
  alias_history: {
    id: Generated<number>
    model: string
    alias: string
    version: string | null
    at: number
    who: string
  }
  metadata: { role: string; version: number; document: string; stored_at: number }

  rollout: {
    id: string
    model: string
    version: string
    slot: string
    phase: string
    plan_json: string
    state_json: string
    revision: number
    created_at: number
    created_by: string
    /** The user behind `created_by`; null: a program. */
    creator_id: string | null
    updated_at: number
  }
  rollout_approval: {
    rollout_id: string
    /** Empty: the rollout as a whole. */
    wave: string
    user_id: string
    user_name: string
    sha256: string
    at: number
    reason: string
  }
  /** What was answered to a request that its sender may repeat; bounded by age. */
  idempotency_key: {
    who: string
    key: string
    request_sha256: string
    /** What the request made. */
    subject: string
    /** Null until it has been answered. */
    answer_json: string | null
    at: number
  }
  rollout_device: {
    rollout_id: string
    device_id: string
    wave: number
    state: string
    code: string | null
    detail: string | null
    directive_version: number | null
    /** Release that was active before, as JSON slot goal; null when there was none. */
    previous_json: string | null
    /** What the device had already done under the release when its wave was opened; null: nothing. */
    baseline_json: string | null
    updated_at: number
  }
  rollout_event: {
    id: Generated<number>
    rollout_id: string
    at: number
    kind: string
    who: string
    message: string
    evidence_json: string | null
  }

  stream_state: {
    device_id: string
    session: string
    stream: string
    /** Everything up to here is stored or accounted for. */
    contiguous: number
    highest: number
    stored: number
    duplicates: number
    dropped: number
    /** Acked by an earlier life of this hub and no longer held by the device. */
    forgotten: number
    /** Records below this were stored once and have outlived their retention; one that comes again is a duplicate. */
    kept_from: Generated<number>
    rejected: number
    /** Neither here nor known to be dropped or forgotten: awaited, or never arrived. */
    missing: number
    first_at: number
    last_at: number
  }
  dropped_range: {
    device_id: string
    session: string
    stream: string
    first: number
    last: number
    reason: string
  }
  window_record: {
    device_id: string
    session: string
    seq: number
    received_at: number
    slot: string
    model: string
    version: string
    release_digest: string
    start_at: number
    end_at: number
    readings: number
    inferences: number
    errors: number
    warm_up: number
    anomalies: number
    dropped: number
    requests: number
    latency_json: string
    drift_json: string
    energy_joules: number | null
    energy_idle_joules: number | null
    energy_unattributed_joules: number | null
    energy_label: string | null
    energy_source: string | null
    energy_coverage: number | null
    energy_sigma: number | null
    cpu_ms: number | null
  }
  /**
   * Sums of all windows that ever came, those that have outlived their retention too. One row per device and energy
   * provenance; under device, slot and release '' the whole fleet's, without latency.
   */
  window_sum: {
    device_id: string
    slot: string
    model: string
    version: string
    release_digest: string
    energy_label: string
    energy_source: string
    /** 1: windows without any energy figure, which taint no label. */
    is_gap: number
    windows: number
    readings: number
    inferences: number
    errors: number
    anomalies: number
    latency_json: string
    joules: number
    idle_joules: number
    unattributed_joules: number
    window_ms: number
    covered_ms: number
    weighed_sigma: number
    first_at: number
    last_at: number
    updated_at: number
  }
  event_record: {
    device_id: string
    session: string
    seq: number
    received_at: number
    at: number
    kind: string
    key: string
    slot: string | null
    release_digest: string | null
    severity: string
    detail_json: string
  }
  health_record: {
    device_id: string
    session: string
    seq: number
    received_at: number
    at: number
    body_json: string
  }
  rejected_record: {
    device_id: string
    session: string
    stream: string
    seq: number
    received_at: number
    detail: string
  }
  drift_state: {
    device_id: string
    slot: string
    release_digest: string
    state_json: string
    verdict_json: string
    /** quiet | alarm | not_enough_data */
    verdict: string
    evidence: number
    /** The feature that leads; null: none does. */
    lead: string | null
    updated_at: number
  }

  audit: {
    id: Generated<number>
    at: number
    who: string
    action: string
    subject: string
    detail_json: string
    previous_hash: string
    hash: string
  }
  /** The hub's signed word on the audit up to `last_id`; never changed, never deleted. */
  audit_checkpoint: { last_id: number; hash: string; envelope: string; at: number }
  /** What live views replay from; bounded by age. */
  feed: { id: Generated<number>; at: number; topic: string; type: string; data_json: string }
}
