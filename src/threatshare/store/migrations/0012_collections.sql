-- API roots, the form in which a collection shows its entries, and partners' opinions.

ALTER TABLE collection ADD COLUMN root TEXT NOT NULL DEFAULT 'api';
ALTER TABLE collection ADD COLUMN view TEXT NOT NULL DEFAULT '{}';
ALTER TABLE taxii_status ADD COLUMN root TEXT NOT NULL DEFAULT 'api';
CREATE TABLE api_root (
    name TEXT PRIMARY KEY,
    title TEXT NOT NULL UNIQUE
);
CREATE TABLE opinion (
    observable INTEGER NOT NULL,
    source INTEGER NOT NULL,
    object INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (observable, source)
) WITHOUT ROWID;
CREATE INDEX opinion_object ON opinion (object);
