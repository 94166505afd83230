-- Sources of one partner are one voice in a score.

ALTER TABLE source ADD COLUMN partner TEXT;
