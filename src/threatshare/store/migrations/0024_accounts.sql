-- Whose account an account is, whether it rests, and how much it may post a day and has posted today.

ALTER TABLE account ADD COLUMN partner TEXT;
ALTER TABLE account ADD COLUMN paused INTEGER;
ALTER TABLE account ADD COLUMN daily_objects INTEGER;
ALTER TABLE account ADD COLUMN daily_bytes INTEGER;
CREATE TABLE account_posted (
    account TEXT PRIMARY KEY,
    day INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
