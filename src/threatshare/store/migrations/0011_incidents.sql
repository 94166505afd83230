-- Incident reports and what they name, versions that wait, and what people say of values.

CREATE TABLE incident (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
);
CREATE TABLE incident_reference (
    object_id TEXT NOT NULL,
    incident INTEGER NOT NULL,
    PRIMARY KEY (object_id, incident)
) WITHOUT ROWID;
CREATE INDEX incident_reference_incident ON incident_reference (incident);
CREATE TABLE incident_due (
    collection INTEGER NOT NULL,
    incident INTEGER NOT NULL,
    PRIMARY KEY (collection, incident)
) WITHOUT ROWID;
CREATE TABLE incident_held (
    collection INTEGER NOT NULL,
    incident INTEGER NOT NULL,
    edition TEXT NOT NULL,
    named TEXT NOT NULL,
    PRIMARY KEY (collection, incident)
) WITHOUT ROWID;
CREATE TABLE waiting_version (
    collection INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    reasons TEXT NOT NULL,
    PRIMARY KEY (collection, object_id)
) WITHOUT ROWID;
CREATE TABLE feedback (
    number INTEGER PRIMARY KEY,
    told TEXT NOT NULL,
    at INTEGER NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    observable INTEGER,
    value TEXT NOT NULL,
    ground TEXT,
    count INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    undone_at INTEGER,
    undone_person TEXT,
    undone_reason TEXT
);
CREATE INDEX feedback_observable ON feedback (observable, told) WHERE observable IS NOT NULL;
CREATE INDEX feedback_object ON feedback (value) WHERE observable IS NULL;
