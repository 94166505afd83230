-- What a list feed holds, and since when, so that a value which left it is noticed.

CREATE TABLE listed (
    id INTEGER PRIMARY KEY,
    since INTEGER NOT NULL,
    said INTEGER NOT NULL,
    gone INTEGER,
    seen INTEGER,
    confidence INTEGER,
    text TEXT
);
