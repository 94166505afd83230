-- Versions that members of an exchange deleted there: whose they were and what they said.

CREATE TABLE exchange_past (
    collection INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    owner TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (collection, object_id, version)
) WITHOUT ROWID;
