-- Accounts that end, that may read metrics, and that client certificates stand for.

ALTER TABLE account ADD COLUMN expires INTEGER;
ALTER TABLE account ADD COLUMN metrics INTEGER NOT NULL DEFAULT 0;
CREATE TABLE account_certificate (
    fingerprint BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX account_certificate_account ON account_certificate (account);
