-- What everybody says: sources, objects in every version as they came, observables, and the claims about them.

CREATE TABLE source (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    reliability TEXT NOT NULL,
    default_tlp INTEGER NOT NULL,
    lineage TEXT
);
CREATE TABLE origin (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE object (
    key INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
);
CREATE TABLE version (
    number INTEGER PRIMARY KEY,
    object INTEGER NOT NULL,
    previous INTEGER,
    modified INTEGER NOT NULL,
    received INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE observable (
    number INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    score INTEGER NOT NULL,
    next_change INTEGER,
    first_seen INTEGER NOT NULL,
    cap TEXT
);
CREATE UNIQUE INDEX observable_key ON observable (key);
CREATE INDEX observable_due ON observable (next_change) WHERE next_change IS NOT NULL;
CREATE TABLE claim (
    observable INTEGER NOT NULL,
    object INTEGER NOT NULL,
    source INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    confidence INTEGER,
    observed INTEGER NOT NULL,
    valid_from INTEGER NOT NULL,
    valid_until INTEGER,
    tlp INTEGER,
    flags INTEGER NOT NULL,
    PRIMARY KEY (observable, object)
) WITHOUT ROWID;
CREATE TABLE changed_observable (
    seq INTEGER PRIMARY KEY,
    observable INTEGER NOT NULL
);
