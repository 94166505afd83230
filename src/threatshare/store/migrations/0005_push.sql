-- Deliveries to partners' servers: how far each target is, what is under way, what was refused.

CREATE TABLE push_target (
    name TEXT PRIMARY KEY,
    destination BLOB NOT NULL,
    collection INTEGER NOT NULL,
    position INTEGER NOT NULL DEFAULT 0,
    reached INTEGER NOT NULL DEFAULT 0,
    last_run INTEGER,
    last_success INTEGER,
    not_before INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    parked BLOB,
    report TEXT
);
CREATE TABLE delivery (
    number INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    collection INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    again INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,
    polled INTEGER,
    status_id TEXT,
    accepted INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    error TEXT
);
CREATE UNIQUE INDEX delivery_sending ON delivery (target) WHERE state = 'sending';
CREATE INDEX delivery_pending ON delivery (target) WHERE state = 'pending';
CREATE INDEX delivery_target ON delivery (target, number);
CREATE INDEX delivery_seq ON delivery (collection, first_seq);
CREATE TABLE undelivered (
    target TEXT NOT NULL,
    seq INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    tries INTEGER NOT NULL,
    at INTEGER NOT NULL,
    delivery INTEGER,
    PRIMARY KEY (target, seq)
) WITHOUT ROWID;
CREATE INDEX undelivered_delivery ON undelivered (delivery) WHERE delivery IS NOT NULL;
