-- Partners who are left out of a running exercise, and why.

CREATE TABLE exercise_exclusion (
    number INTEGER PRIMARY KEY,
    exercise TEXT NOT NULL,
    partner TEXT NOT NULL,
    rights TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    lifted INTEGER,
    lifted_by TEXT
);
CREATE UNIQUE INDEX exercise_exclusion_open ON exercise_exclusion (exercise, partner) WHERE lifted IS NULL;
