-- Everything that left, as a chain of hashes; the wording of each kind of entry is kept once.

CREATE TABLE ledger_terms (
    number INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    terms INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    object ANY NOT NULL,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
