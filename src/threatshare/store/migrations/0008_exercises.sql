-- Joint exercises: who takes part, what was injected, and when each partner answered.

CREATE TABLE exercise (
    name TEXT PRIMARY KEY,
    year INTEGER NOT NULL,
    marking TEXT NOT NULL UNIQUE,
    tlp INTEGER NOT NULL,
    collection INTEGER NOT NULL UNIQUE,
    until TEXT NOT NULL,
    share_at_once INTEGER NOT NULL,
    started INTEGER NOT NULL,
    started_by TEXT NOT NULL,
    ended INTEGER,
    ended_by TEXT,
    reason TEXT,
    purged INTEGER,
    report TEXT
);
CREATE TABLE exercise_partner (
    exercise TEXT NOT NULL,
    partner TEXT NOT NULL,
    agreement_version INTEGER NOT NULL,
    agreement_digest TEXT NOT NULL,
    PRIMARY KEY (exercise, partner)
) WITHOUT ROWID;
CREATE INDEX exercise_partner_partner ON exercise_partner (partner);
CREATE TABLE exercise_inject (
    exercise TEXT NOT NULL,
    number INTEGER NOT NULL,
    key INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    object_id TEXT NOT NULL,
    techniques TEXT NOT NULL,
    at INTEGER NOT NULL,
    detected INTEGER,
    sensor TEXT,
    seen INTEGER,
    shared INTEGER,
    entry INTEGER,
    PRIMARY KEY (exercise, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX exercise_inject_key ON exercise_inject (exercise, key);
CREATE INDEX exercise_inject_object ON exercise_inject (object_id);
CREATE TABLE exercise_feedback (
    number INTEGER PRIMARY KEY,
    exercise TEXT NOT NULL,
    account TEXT NOT NULL,
    partner TEXT NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    said TEXT NOT NULL,
    inject INTEGER
);
CREATE INDEX exercise_feedback_exercise ON exercise_feedback (exercise, inject);
CREATE TABLE exercise_marking (
    source INTEGER NOT NULL,
    ref TEXT NOT NULL,
    PRIMARY KEY (source, ref)
) WITHOUT ROWID;
CREATE TABLE exercise_object (
    object INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    stix_id TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE TABLE exercise_value (
    key INTEGER NOT NULL,
    object INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (key, object)
) WITHOUT ROWID;
