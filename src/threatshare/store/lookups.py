"""What the store knows of a value: read-only, by key, the same few rows at any size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from threatshare.model import Claim, Evidence, Marking, Micros, Observable, Opinion, Tlp
from threatshare.stix.claims import BY_DEFINITION, NO_BLOCK, UNKNOWN_MARKING
from threatshare.store.connection import Connection
from threatshare.store.definitions import markings
from threatshare.store.feedback import evidence_by_key
from threatshare.store.keys import CODE_KIND, KeyOf, key_maker, observable_key, store_secret

LISTED_BITS = 40
"""``listed.id`` is ``source.number << LISTED_BITS | number of the observable``."""


@dataclass(frozen=True, slots=True)
class Known:
    """One observable that the store knows."""

    number: int
    """Of its row."""
    observable: Observable
    score: int
    """As of the last write; a question asked now scores anew."""
    first_seen: Micros
    cap: str | None
    false_positives: int = 0
    confirmed: int = 0
    """What people have reported of it (``store.feedback``)."""
    opinions: tuple[Opinion, ...] = ()
    """Partners' on our indicators of it (``store.remarks``)."""

    @property
    def evidence(self) -> Evidence:
        """What moves its score beside the claims."""
        return evidence_of(self.cap, self.false_positives, self.confirmed, self.opinions)


def known(conn: Connection, key_of: KeyOf, observables: Iterable[Observable]) -> dict[Observable, Known]:
    """Gives those of some observables that the store knows."""
    wanted = set(observables)
    keys = sorted({observable_key(key_of, one) for one in wanted})
    found = _known(conn, "key", keys)
    return {one.observable: one for one in found if one.observable in wanted}


def known_by_number(conn: Connection, numbers: Iterable[int]) -> Iterator[Known]:
    """Gives the observables of some row numbers."""
    return _known(conn, "number", sorted(numbers))


def _known(conn: Connection, column: str, values: Sequence[int]) -> Iterator[Known]:
    said = opinions_about(conn, column, values)
    rows = conn.execute(
        "SELECT key, number, kind, value, score, first_seen, cap FROM observable"
        f" WHERE {column} IN (SELECT value FROM json_each(?))",
        (json.dumps(values),),
    ).fetchall()
    reported = evidence_by_key(conn, [row[0] for row in rows])
    for key, number, kind, value, score, first_seen, cap in rows:
        observable = Observable(CODE_KIND[kind], value)
        opinions = said.get(number, ())
        yield Known(number, observable, score, first_seen, cap, *reported.get(key, (0, 0)), opinions)


def opinions_about(conn: Connection, column: str, values: Sequence[int]) -> dict[int, tuple[Opinion, ...]]:
    """Gives the opinions on some observables, found by ``number`` or ``key``, by number; those without are left out."""
    if not conn.execute("SELECT EXISTS (SELECT 1 FROM opinion)").fetchone()[0]:
        return {}
    found: dict[int, list[Opinion]] = {}
    for number, source, word, reliability, lineage, *_ in conn.execute(
        "SELECT opinion.observable, name, opinion.value, reliability, coalesce(lineage, name),"
        # The latest word of a partner, whichever of its sources brings it.
        " max(opinion.modified)"
        " FROM observable JOIN opinion ON opinion.observable = observable.number"
        " JOIN source ON source.number = opinion.source"
        f" WHERE observable.{column} IN (SELECT value FROM json_each(?))"
        " GROUP BY opinion.observable, coalesce(partner, opinion.source)",
        (json.dumps(values),),
    ):
        found.setdefault(number, []).append(Opinion(source, word, reliability, lineage == AIS))
    return {number: tuple(sorted(said)) for number, said in found.items()}


AIS = "ais"
"""The lineage, or the name, of sources that carry what CISA's AIS says."""


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim with the key of the object that makes it."""

    object: int
    claim: Claim
    tlp: int
    """Rank, or UNKNOWN_MARKING."""


def claims_about(conn: Connection, numbers: Sequence[int]) -> dict[int, list[HeldClaim]]:
    """Gives every claim about some observables, by observable number, without the indicators' ids.

    What rests on definitions of its source is marked as they say now; where one cannot be read, as unknown.
    """
    rows = conn.execute(
        "SELECT observable, object, s.name, s.reliability, o.name, confidence, observed, valid_from, valid_until,"
        " tlp, flags, s.number, s.default_tlp, s.partner"
        " FROM claim JOIN source s ON s.number = claim.source JOIN origin o ON o.number = claim.origin"
        " WHERE observable IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(numbers)),),
    ).fetchall()
    defined = {row[1]: (row[11], Tlp(row[12])) for row in rows if row[10] & BY_DEFINITION}
    looked_up = markings(conn, key_maker(store_secret(conn)), defined) if defined else {}
    found: dict[int, list[HeldClaim]] = {}
    for row in rows:
        number, obj, source, reliability, origin, confidence, observed, valid_from, valid_until, tlp, flags, *_ = row
        marking = looked_up[obj] if obj in looked_up else _marking(tlp, flags)
        if marking.unknown:
            # Whatever TLP it has beside: nobody acts on what may forbid anything.
            marking = Marking(None, marking.unknown)
        claim = Claim(
            source,
            "",
            origin,
            reliability,
            confidence,
            observed,
            valid_from,
            valid_until,
            bool(flags & 1),
            bool(flags & 2),
            marking,
            row[13],
        )
        rank = UNKNOWN_MARKING if marking.tlp is None else int(marking.tlp)
        found.setdefault(number, []).append(HeldClaim(obj, claim, rank))
    return found


def _marking(tlp: int, flags: int) -> Marking:
    """Gives the marking that a claim's row tells, without the label of PAP."""
    if tlp == UNKNOWN_MARKING:
        return Marking(None, ("unknown",))
    return Marking(Tlp(tlp), may_block=not flags & NO_BLOCK)


def current_bodies(conn: Connection, objects: Iterable[int]) -> dict[int, bytes]:
    """Gives the current versions of objects by their keys."""
    return {
        key: bytes(body)
        for key, body in conn.execute(
            "SELECT key, body FROM object JOIN version ON version.number = object.version"
            " WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(objects)),),
        )
    }


def listed_rows(conn: Connection, observable: int) -> dict[str, str | None]:
    """Gives what lists that name an observable now say of it, as their rows stood, by the names of the sources."""
    found = conn.execute(
        "SELECT source.name, text FROM source JOIN listed ON id = (source.number << ?) + ? WHERE gone IS NULL",
        (LISTED_BITS, observable),
    )
    return dict(found.fetchall())


def ranked(conn: Connection, kinds: Sequence[int], min_score: int) -> Iterator[int]:
    """Gives the numbers of observables of some kinds from a score up."""
    for row in conn.execute(
        "SELECT number FROM observable WHERE score >= ? AND kind IN (SELECT value FROM json_each(?)) ORDER BY number",
        (min_score, json.dumps(kinds)),
    ):
        yield row[0]


def due_observables(conn: Connection, now: Micros, limit: int) -> list[int]:
    """Gives observables whose score is due to leave its band, by the index on that moment."""
    return [
        row[0]
        for row in conn.execute(
            "SELECT number FROM observable WHERE next_change <= ? ORDER BY next_change LIMIT ?", (now, limit)
        )
    ]


def save_scores(conn: Connection, scores: Iterable[tuple[int, int, Micros | None]]) -> None:
    """Saves (number, score, next change), inside the caller's transaction."""
    conn.executemany(
        "UPDATE observable SET score = ?, next_change = ? WHERE number = ?",
        [(value, next_change, number) for number, value, next_change in scores],
    )


def bring_forward(conn: Connection, moments: Iterable[tuple[int, Micros]]) -> None:
    """Has observables (number, moment) scored anew by some moments, inside the caller's transaction."""
    conn.executemany(
        "UPDATE observable SET next_change = ?2 WHERE number = ?1 AND (next_change IS NULL OR next_change > ?2)",
        moments,
    )


def evidence_of(
    cap: str | None, false_positives: int = 0, confirmed: int = 0, opinions: tuple[Opinion, ...] = ()
) -> Evidence:
    """Gives what an observable's cap, what people have reported of it and what partners think mean to its score."""
    own = cap == OWN_ASSET
    return Evidence(false_positives, confirmed, own, None if own else cap, opinions)


OWN_ASSET = "own-asset"
"""The cap of an observable that is ours; any other cap names a known-benign list."""
