/**
 * What every look at the whole fleet needs, kept as it changes, so that no look reads every report and every window: what
 * each slot runs, sums of windows (per device, and under the device '' of all of them), how many records a stream misses.
 * The functions of JSON are SQLite's; a new database has nothing to fill in.
 */
export const name = '008-fleet-sums'

const latencySum = `(select json_group_array(total) from (select sum(c.value) as total
  from window_record as l, json_each(l.latency_json, '$.counts') as c
  where l.device_id = w.device_id and l.slot = w.slot and l.release_digest = w.release_digest
    and l.model = w.model and l.version = w.version and coalesce(l.energy_label, '') = coalesce(w.energy_label, '')
    and coalesce(l.energy_source, '') = coalesce(w.energy_source, '')
    and (coalesce(l.energy_coverage, 0) = 0) = (coalesce(w.energy_coverage, 0) = 0)
  group by c.key order by c.key))`
const ms = 'max(0, w.end_at - w.start_at)'
const sums = `count(*), sum(w.readings), sum(w.inferences), sum(w.errors), sum(w.anomalies)`
const energySums = `sum(coalesce(w.energy_joules, 0)), sum(coalesce(w.energy_idle_joules, 0)),
  sum(coalesce(w.energy_unattributed_joules, 0)), sum(${ms}), sum(coalesce(w.energy_coverage, 0) * ${ms}),
  sum(coalesce(w.energy_sigma, 1) * (coalesce(w.energy_joules, 0) + coalesce(w.energy_idle_joules, 0))),
  min(w.start_at), max(w.end_at), max(w.received_at)`
const provenance = `coalesce(w.energy_label, ''), coalesce(w.energy_source, ''),
  case when coalesce(w.energy_coverage, 0) = 0 then 1 else 0 end`

export const statements = [
  `create table device_slot (device_id text not null, slot text not null, phase text not null, code text,
    model text, version text, release_digest text, primary key (device_id, slot))`,
  'create index device_slot_by_version on device_slot (model, version)',
  'create index device_slot_by_release on device_slot (release_digest, device_id)',
  'create index device_slot_by_phase on device_slot (phase, device_id)',
  `insert into device_slot select d.id, s.key, s.value ->> '$.phase', s.value ->> '$.code',
    s.value ->> '$.active.model', s.value ->> '$.active.version', s.value ->> '$.active.releaseDigest'
    from device as d, json_each(d.report_json, '$.signed.slots') as s
    where d.report_json is not null and d.revoked_at is null`,
  'create index device_by_status on device (revoked_at, status)',

  `create table window_sum (device_id text not null, slot text not null, model text not null, version text not null,
    release_digest text not null, energy_label text not null, energy_source text not null, is_gap integer not null,
    windows bigint not null, readings bigint not null, inferences bigint not null, errors bigint not null,
    anomalies bigint not null, latency_json text not null, joules double precision not null,
    idle_joules double precision not null, unattributed_joules double precision not null, window_ms bigint not null,
    covered_ms double precision not null, weighed_sigma double precision not null, first_at bigint not null,
    last_at bigint not null, updated_at bigint not null,
    primary key (device_id, slot, release_digest, model, version, energy_label, energy_source, is_gap))`,
  `insert into window_sum select w.device_id, w.slot, w.model, w.version, w.release_digest, ${provenance}, ${sums},
    ${latencySum}, ${energySums} from window_record as w group by 1, 2, 3, 4, 5, 6, 7, 8`,
  `insert into window_sum select '', '', w.model, w.version, '', ${provenance}, ${sums}, '[]', ${energySums}
    from window_record as w group by 3, 4, 6, 7, 8`,
  'alter table rollout_device add column baseline_json text',
  'create index rollout_device_by_wave on rollout_device (rollout_id, wave, device_id)',
  // Evidence came from here; the sums have it now, and a span of time is asked for by its end.
  'drop index window_record_by_release',
  'create index window_record_by_end on window_record (end_at)',
  'create index window_record_by_slot on window_record (device_id, session, slot, seq)',

  'alter table drift_state add column lead text',
  `update drift_state set lead = verdict_json ->> '$.lead.feature'`,
  'create index drift_state_by_verdict on drift_state (verdict, device_id, slot, release_digest, lead)',
  'create index drift_state_by_evidence on drift_state (evidence, device_id)',

  'create index event_record_by_at on event_record (at)',
  'create index event_record_by_device_kind on event_record (device_id, kind, at)',

  'alter table stream_state add column rejected bigint not null default 0',
  'alter table stream_state add column missing bigint not null default 0',
  `update stream_state set rejected = (select count(*) from rejected_record as r where r.device_id = stream_state.device_id
    and r.session = stream_state.session and r.stream = stream_state.stream)`,
  'update stream_state set missing = highest - stored - rejected - dropped - forgotten',
]
