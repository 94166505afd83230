-- The node's own: findings, what people decided, removals, releases, feed state, rejects, and places in followed files.

CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
CREATE TABLE observation (
    observable INTEGER NOT NULL,
    role TEXT NOT NULL,
    sensor TEXT NOT NULL,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    why TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL,
    confidence INTEGER,
    techniques TEXT NOT NULL,
    tlp INTEGER,
    PRIMARY KEY (observable, role, sensor)
);
CREATE INDEX observation_unknown ON observation (observable) WHERE role = 'unknown';
CREATE TABLE decision (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    action TEXT NOT NULL,
    role TEXT,
    scope TEXT NOT NULL,
    standing INTEGER NOT NULL,
    covered INTEGER NOT NULL
);
CREATE INDEX decision_standing ON decision (number) WHERE standing;
CREATE TABLE decided_role (
    observable INTEGER NOT NULL,
    sensor TEXT NOT NULL,
    decision INTEGER NOT NULL,
    PRIMARY KEY (observable, sensor)
) WITHOUT ROWID;
CREATE INDEX decided_role_decision ON decided_role (decision);
CREATE TABLE decided_release (
    collection INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    decision INTEGER NOT NULL,
    PRIMARY KEY (collection, object_id, rule)
) WITHOUT ROWID;
CREATE TABLE removal (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    rule TEXT NOT NULL,
    part TEXT NOT NULL,
    place TEXT NOT NULL,
    digest TEXT NOT NULL
);
CREATE TABLE own_change (
    object INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
);
CREATE UNIQUE INDEX own_change_seq ON own_change (seq);
CREATE TABLE release (
    collection INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    verdict TEXT NOT NULL,
    reasons TEXT NOT NULL,
    policy BLOB NOT NULL,
    at INTEGER NOT NULL,
    life INTEGER NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (collection, object_id)
) WITHOUT ROWID;
CREATE INDEX release_held ON release (collection) WHERE verdict = 'hold';
CREATE TABLE publish_position (
    collection INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    policy BLOB NOT NULL
);
CREATE TABLE feed_state (
    feed TEXT PRIMARY KEY,
    cursor TEXT,
    last_run INTEGER,
    last_success INTEGER,
    next_run INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    report TEXT
);
CREATE TABLE job (
    name TEXT PRIMARY KEY,
    last_run INTEGER NOT NULL,
    next_run INTEGER NOT NULL,
    report TEXT NOT NULL
);
CREATE TABLE reject (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    origin TEXT NOT NULL,
    place TEXT NOT NULL,
    reason TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE followed (
    path BLOB NOT NULL,
    item TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (path, item)
) WITHOUT ROWID;
CREATE TABLE posted (
    account TEXT NOT NULL,
    digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (account, digest)
) WITHOUT ROWID;
CREATE INDEX posted_at ON posted (at);
