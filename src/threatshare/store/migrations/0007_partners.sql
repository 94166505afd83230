-- Check-ins with partners, and the contacts that a person has verified.

CREATE TABLE partner_checkin (
    number INTEGER PRIMARY KEY,
    partner TEXT NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    at INTEGER NOT NULL,
    person TEXT NOT NULL,
    note TEXT NOT NULL
);
CREATE INDEX partner_checkin_partner ON partner_checkin (partner, number);
CREATE TABLE contact_verification (
    number INTEGER PRIMARY KEY,
    partner TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    verified_on TEXT NOT NULL,
    at INTEGER NOT NULL,
    person TEXT NOT NULL,
    note TEXT NOT NULL
);
CREATE INDEX contact_verification_partner ON contact_verification (partner, number);
