"""What partners remark on our indicators, brought onto the values that these name.

A sighting is a claim of its source about the value: it moves what that source says of it, and nobody else's. An
opinion is no claim; it acts on the odds of the value's score, the latest word of each source once. Whoever remarks
on an id that it was never told is not told so, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from threatshare.errors import BadValue
from threatshare.model import CollectionKind, Micros, Observable
from threatshare.stix.claims import NewClaim, claim_of_sighting
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import reread
from threatshare.stix.remarks import seen_of, thought_of
from threatshare.store.connection import Connection
from threatshare.store.keys import KeyOf
from threatshare.store.lookups import claims_about, known, known_by_number, save_scores
from threatshare.store.objects import Fresh
from threatshare.store.releases import queue
from threatshare.store.sources import Source
from threatshare.triage.score import assess, rows_of

_TOLD = """
    SELECT body FROM entry JOIN collection ON collection.number = entry.id >> 40
    WHERE object_id = ?1 AND (kind = ?2 OR kind IN (?3, ?4) AND EXISTS (
        SELECT 1 FROM account_right WHERE account = ?5 AND account_right.collection = number AND verb = 'read'
    ))
    AND (kind <> ?2 OR partner = ?5 OR NOT EXISTS (SELECT 1 FROM served_as WHERE served_id = ?1) OR EXISTS (
        SELECT 1 FROM account_right WHERE account = ?5 AND account_right.collection = number AND verb = 'read'
    ))
    ORDER BY entry.version DESC LIMIT 1
"""


def named_by(conn: Connection, object_id: str, source: Source) -> tuple[Observable, ...]:
    """Gives the values that an indicator of ours names, by an id under which a source may have met it; else none.

    That is any id in a partner's collection, but one by which only a partner that is not told who we are knows it: that
    id is this partner's alone. And for an account what it may read inside our own organisation: our ids
    follow from their values, so whoever guesses one could otherwise argue with what it was never told.
    """
    kinds = CollectionKind.PARTNER, CollectionKind.SIEM, CollectionKind.INTERNAL
    row = conn.execute(_TOLD, (object_id, *kinds, source.name)).fetchone()
    if row is None:
        return ()
    try:
        return read_pattern(reread(bytes(row[0])).pattern or "")
    except BadValue:
        return ()  # of an identity, or anything else without a pattern


def claim_of_remark(conn: Connection, one: Fresh, source: Source, now: Micros) -> NewClaim | None:
    """Gives the claim that a sighting of an indicator of ours makes; None for anything else.

    Raises BadValue for a sighting or an opinion that cannot be read.
    """
    thought_of(one.raw, one.read)
    seen = seen_of(one.raw, one.read)
    observables = named_by(conn, seen.sighting_of_ref, source) if seen is not None else ()
    if seen is None or not observables:
        return None
    first, last = seen.times(one.version, now)
    return claim_of_sighting(one.read, observables, source.default_tlp, first, last)


def hear(conn: Connection, key_of: KeyOf, source: Source, fresh: Sequence[Fresh], now: Micros) -> None:
    """Takes the opinions among new objects to heart, inside the caller's transaction.

    Values whose score may have moved are scored anew and lined up for our own tools' collections.
    """
    moved: set[int] = set()
    for one in fresh:
        if one.read.type == "opinion":
            moved |= _forget(conn, one.key)
            if not one.read.revoked:
                moved |= _heard(conn, key_of, source, one)
    if moved:
        _score(conn, sorted(moved), now)


def _forget(conn: Connection, key: int) -> set[int]:
    return {
        row[0] for row in conn.execute("DELETE FROM opinion WHERE object = ? RETURNING observable", (key,)).fetchall()
    }


def _heard(conn: Connection, key_of: KeyOf, source: Source, one: Fresh) -> set[int]:
    thought = thought_of(one.raw, one.read)
    named = {value for ref in (thought.object_refs if thought else ()) for value in named_by(conn, ref, source)}
    numbers = {entry.number for entry in known(conn, key_of, named).values()}
    conn.executemany(
        "INSERT INTO opinion (observable, source, object, modified, value) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (observable, source) DO UPDATE SET object = excluded.object, modified = excluded.modified,"
        " value = excluded.value WHERE excluded.modified >= modified",
        [(number, source.number, one.key, one.version, thought.opinion) for number in sorted(numbers) if thought],
    )
    return numbers


def _score(conn: Connection, numbers: Iterable[int], now: Micros) -> None:
    claims = claims_about(conn, list(numbers))
    scores = []
    for entry in known_by_number(conn, numbers):
        said = rows_of([one.claim for one in claims.get(entry.number, ())])
        scores.append((entry.number, *assess(entry.observable.kind, said, entry.evidence, now)))
    save_scores(conn, scores)
    queue(conn, numbers)
