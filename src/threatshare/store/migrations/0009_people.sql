-- What people did with which right, releases that one person approved, and agreement changes that a person confirmed.

CREATE TABLE act (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    told TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE approval (
    collection INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    hold TEXT NOT NULL,
    decision INTEGER NOT NULL,
    ended INTEGER,
    PRIMARY KEY (collection, object_id, hold, decision)
) WITHOUT ROWID;
CREATE INDEX approval_decision ON approval (decision);
ALTER TABLE decision ADD COLUMN login TEXT;
ALTER TABLE agreement_version ADD COLUMN interim INTEGER NOT NULL DEFAULT 0;
CREATE TABLE agreement_confirmation (
    number INTEGER PRIMARY KEY,
    partner TEXT NOT NULL,
    digest TEXT NOT NULL,
    base INTEGER NOT NULL,
    at INTEGER NOT NULL,
    person TEXT NOT NULL,
    login TEXT,
    reason TEXT NOT NULL
);
CREATE INDEX agreement_confirmation_partner ON agreement_confirmation (partner, digest);
