-- How far the claims of a source whose settings changed are written anew.

CREATE TABLE restatement (
    source INTEGER PRIMARY KEY,
    position INTEGER NOT NULL
);
