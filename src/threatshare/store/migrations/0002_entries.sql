-- Served collections and their entries, answers of the TAXII server, accounts with their rights, and who has read what.

CREATE TABLE collection (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    alias TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    partner TEXT,
    created INTEGER NOT NULL,
    last_seq INTEGER NOT NULL DEFAULT 0,
    last_added INTEGER NOT NULL DEFAULT 0,
    rewritten INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    added INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    type TEXT NOT NULL,
    spec_version TEXT NOT NULL,
    owner TEXT NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL
);
CREATE INDEX entry_current ON entry (id) WHERE superseded = 0;
CREATE UNIQUE INDEX entry_object ON entry (object_id, id >> 40, version);
CREATE INDEX entry_added ON entry (id >> 40, added);
CREATE INDEX entry_type ON entry (id >> 40, type, superseded);
CREATE INDEX entry_version ON entry (id >> 40, version);
CREATE INDEX entry_old_spec ON entry (id) WHERE spec_version <> '2.1';
CREATE TABLE taxii_status (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    created INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX taxii_status_created ON taxii_status (created);
CREATE TABLE account (
    name TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    revoked INTEGER,
    findings INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE account_key (
    prefix TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    hash BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
);
CREATE INDEX account_key_account ON account_key (account);
CREATE TABLE account_right (
    account TEXT NOT NULL,
    collection INTEGER NOT NULL,
    verb TEXT NOT NULL,
    PRIMARY KEY (account, collection, verb)
) WITHOUT ROWID;
CREATE TABLE taxii_read (
    account TEXT NOT NULL,
    collection INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (account, collection, first_seq)
) WITHOUT ROWID;
