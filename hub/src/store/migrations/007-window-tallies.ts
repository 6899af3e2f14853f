/** Inputs that a window had to let go, and readings that came as requests; absent on the wire where there were none. */
export const name = '007-window-tallies'

export const statements = [
  'alter table window_record add column dropped bigint not null default 0',
  'alter table window_record add column requests bigint not null default 0',
]
