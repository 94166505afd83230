-- Compressed blocks beside the entries, from which whole pages are served.

CREATE TABLE entry_block (
    id INTEGER PRIMARY KEY,
    begins BLOB NOT NULL,
    bodies BLOB NOT NULL
);
CREATE INDEX entry_superseded ON entry (id) WHERE superseded = 1;
