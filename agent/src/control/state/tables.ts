/**
 * What the device remembers. One file on purpose: a window, its events and the reader's place are one transaction, and
 * so are the two releases and the phase of a swap. Plain columns where SQL looks, JSON where only we read it whole.
 */
export const schemaVersion = 1

export const tables = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE slot (
    slot TEXT PRIMARY KEY,
    deployment TEXT NOT NULL,
    active TEXT,
    last_known_good TEXT
  ) WITHOUT ROWID;
  CREATE TABLE checkpoint (slot TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE quarantine (release_digest TEXT PRIMARY KEY, code TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE block (blob TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (blob, position)) WITHOUT ROWID;
  CREATE TABLE spool_stream (
    stream TEXT PRIMARY KEY,
    next_seq INTEGER NOT NULL,
    acked INTEGER NOT NULL,
    dropped_through INTEGER NOT NULL,
    dropped_count INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE spool_record (
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (stream, seq)
  ) WITHOUT ROWID;
  CREATE TABLE event_key (key TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
`
