-- What is refused again at each pull is one row with a count.

ALTER TABLE reject ADD COLUMN digest INTEGER;
ALTER TABLE reject ADD COLUMN times INTEGER NOT NULL DEFAULT 1;
CREATE UNIQUE INDEX reject_same ON reject (origin, digest);
