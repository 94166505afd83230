-- Which objects of a source tie which of its objects together.

CREATE TABLE link (
    object INTEGER NOT NULL,
    maker INTEGER NOT NULL,
    other INTEGER NOT NULL,
    relation TEXT NOT NULL,
    PRIMARY KEY (object, maker, other)
) WITHOUT ROWID;
CREATE INDEX link_maker ON link (maker);
