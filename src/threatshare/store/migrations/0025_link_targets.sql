-- Relationships are found from their targets too.

CREATE INDEX link_other ON link (other);
