-- The identities under which objects are served to partners who may not know their maker.

CREATE TABLE face (
    number INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE
);
CREATE TABLE served_as (
    collection INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    life INTEGER NOT NULL,
    served_id TEXT NOT NULL,
    face INTEGER NOT NULL,
    PRIMARY KEY (object_id, collection, life)
) WITHOUT ROWID;
CREATE INDEX served_as_id ON served_as (served_id);
