/** Who approved which rollout, and which requests have been answered already. */
export const name = '003-approvals'

export const statements = [
  'alter table rollout add column creator_id text',
  `create table rollout_approval (rollout_id text not null, wave text not null, user_id text not null,
    user_name text not null, sha256 text not null, at bigint not null, reason text not null,
    primary key (rollout_id, wave, user_id))`,
  `create table idempotency_key (who text not null, key text not null, request_sha256 text not null,
    subject text not null, answer_json text, at bigint not null, primary key (who, key))`,
  'create index idempotency_key_by_time on idempotency_key (at)',
]
