-- Runs, totals, alarms and leases of feeds.

ALTER TABLE feed_state ADD COLUMN rests_until INTEGER;
CREATE TABLE feed_run (
    number INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    began INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    first INTEGER NOT NULL,
    doubted INTEGER NOT NULL,
    report TEXT NOT NULL
);
CREATE INDEX feed_run_feed ON feed_run (feed, number);
CREATE INDEX feed_run_objects ON feed_run (feed, number) WHERE objects > 0;
CREATE TABLE feed_total (
    feed TEXT PRIMARY KEY,
    runs INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    new INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE feed_alarm (
    number INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    about TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    times INTEGER NOT NULL,
    acknowledged INTEGER,
    person TEXT,
    reason TEXT
);
CREATE INDEX feed_alarm_feed ON feed_alarm (feed, kind, number);
CREATE TABLE feed_lease (
    feed TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    process TEXT NOT NULL,
    taken INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX observable_own ON observable (number) WHERE cap = 'own-asset';
