/** Two more ways in beside join tokens: keys that are known before the device asks, and devices that wait for a person. */
export const name = '004-enrolment'

export const statements = [
  `create table registered_key (public_key text primary key, device_id text not null unique, labels_json text not null,
    registered_at bigint not null, registered_by text not null)`,
  `create table pending_device (public_key text primary key, wanted_id text, address text not null,
    first_at bigint not null, last_at bigint not null, rejected_at bigint)`,
]
