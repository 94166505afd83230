-- Every version of each agreement that was in force, with its digest and the time it held.

CREATE TABLE agreement_version (
    number INTEGER PRIMARY KEY,
    partner TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    text TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER
);
CREATE INDEX agreement_version_partner ON agreement_version (partner, number);
CREATE UNIQUE INDEX agreement_version_current ON agreement_version (partner) WHERE until IS NULL;
