"""How an exercise ends: by hand, or by itself behind its last day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from threatshare.exercises.injects import share
from threatshare.exercises.outcomes import measured
from threatshare.exercises.starts import collection_of, named
from threatshare.model import Micros
from threatshare.policy.gate import Facts
from threatshare.report.exercise import told
from threatshare.share.exercise_outlet import terms_of
from threatshare.store import exercises as records
from threatshare.store.connection import Connection
from threatshare.store.embedded import Store
from threatshare.store.entries import delete_entries
from threatshare.store.ledger import record_deletions

END_RULE = "exercise-end"
"""Rule id in the ledger of what an exercise's end deletes."""


def end(store: Store, name: str, by: str, reason: str, facts: Facts, now: Micros) -> dict[str, Any]:
    """Ends an exercise: deletes all that stands in its collection, on the record, and keeps its report.

    Gives that report. Nobody has a right on the collection any more, so it is not there for anybody. What is deleted is
    overwritten in the store's file, and in its write-ahead log as far as no reader is in the way of cutting that short.
    """
    with store.writing() as conn, _overwriting(conn):
        one = named(conn, name, running=True)
        collection = collection_of(conn, one)
        rows = conn.execute("SELECT id FROM entry WHERE id >> 40 = ? ORDER BY id", (one.collection,)).fetchall()
        entries = [row[0] for row in rows]
        record_deletions(conn, facts.our_identity, entries, END_RULE, by, now)
        delete_entries(conn, collection, entries)
        ended = replace(one, ended=now, ended_by=by, reason=reason, purged=len(entries))
        last = told(measured(conn, ended, facts, now))
        records.close_exercise(conn, one, by, reason, msgspec.json.encode(last).decode(), len(entries), now)
    store.checkpoint()
    return last


@contextmanager
def _overwriting(conn: Connection) -> Iterator[None]:
    """Has SQLite overwrite what it deletes, which by itself it only forgets the place of."""
    before = conn.execute("PRAGMA secure_delete").fetchone()[0]
    conn.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        conn.execute(f"PRAGMA secure_delete = {'FAST' if before == 2 else int(before)}")


def tend(store: Store, facts: Facts, us: bytes, now: Micros) -> dict[str, object]:
    """Does what is due without anybody asking: shares what was detected where that was wanted, ends what is over."""
    done: dict[str, object] = {}
    for one in records.running_exercises(store.conn):
        if terms_of(one, facts).over(facts.today) is not None:
            end(store, one.name, "threatshare daemon", f"its last day was {one.until}", facts, now)
            done[one.name] = "ended"
        elif one.share_at_once and one.present:
            shared = share(store, one.name, facts, us, now)
            told = {"released": sum(shared.released.values()), "held": shared.held, "refused": shared.refused}
            done |= {one.name: told} if any(told.values()) else {}
    return done
