"""Merges claims onto observables and scores them, a batch at a time: the hot path of everything that comes in.

Read once what the batch touches, decide in memory, write once in key order. Nothing here grows with
what is already stored: each row is reached by its key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct, structs

from threatshare.errors import BadValue
from threatshare.model import Evidence, Micros, Observable, Opinion, Reject
from threatshare.stix.claims import NewClaim, speaks_stix
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import reread
from threatshare.store.connection import Connection, insert
from threatshare.store.feedback import evidence_by_key
from threatshare.store.keys import CODE_KIND, KIND_CODE, KeyOf, observable_key
from threatshare.store.lookups import evidence_of, opinions_about
from threatshare.store.objects import Fresh
from threatshare.store.sources import Origins, Source
from threatshare.triage.evidence import weight
from threatshare.triage.score import ClaimRow, assess

REVOKED = 1
BENIGN = 2
"""Bits of ``claim.flags``; either makes the claim weigh nothing. The others are those of ``NewClaim.handling``."""
VOID = REVOKED | BENIGN

CapOf = Callable[[Observable], str | None]
"""Tells ``lookups.OWN_ASSET``, the known-benign list that holds an observable, or None."""

_NO_EVIDENCE = Evidence()
_NO_REPORTS = (0, 0)

Row = tuple["Touched", int, int, int, int | None, int, int, int | None, int, int]
"""A row of table ``claim``."""


class Merged(Struct):
    """What a merge changed."""

    new: int = 0
    """Objects that the store had not seen."""
    changed: int = 0
    withdrawn: int = 0
    """Objects whose new version is revoked."""
    rejects: list[Reject] = []


class Touched(Struct, gc=False):
    """One observable of a batch, and all claims about it once the batch is in."""

    observable: Observable
    key: int
    claims: dict[int, ClaimRow]
    """By object key: as the score needs them."""
    first_seen: Micros
    number: int = 0
    """Of its row; 0 until it has one."""
    cap: str | None = None
    reports: tuple[int, int] = _NO_REPORTS
    """False positives and confirmed sightings that people have reported."""
    opinions: tuple[Opinion, ...] = ()


def merge(
    conn: Connection,
    key_of: KeyOf,
    source: Source,
    origins: Origins,
    speakers: Mapping[int, Source],
    cap_of: CapOf,
    batch: Sequence[tuple[Fresh, NewClaim | None]],
    now: Micros,
) -> Merged:
    """Brings a batch of kept versions onto the observables they are about; inside the caller's transaction.

    ``speakers`` gives every source by its number, as it is known now. A claim about a value whose key
    another value has taken is refused; what was revoked stays revoked (STIX 2.1 §3.2).
    """
    refused: set[Observable] = set()
    refusals: list[Reject] = []
    while True:
        result = Merged(rejects=refusals)
        touched: dict[int, Touched] = {}
        gone = _retract(key_of, batch, touched, refused, now)
        rows, doubles = _claim_rows(key_of, speakers.get(source.number, source), origins, batch, touched, result, now)
        clashing = recall(conn, touched, speakers, gone, rows) or doubles
        if not clashing:
            break
        # Two values of one key: one in 10**13 at a million observables, and nobody can prepare it. Once more, without.
        refused |= clashing
        named = {one for _, claim in batch if claim is not None for one in claim.observables}
        refusals += [Reject(one.value, _TAKEN) for one in sorted(clashing & named)]
        batch = [(one, claim and _without(claim, refused)) for one, claim in batch]
    write(conn, touched, rows, gone, cap_of, now)
    return result


_TAKEN = "its key in this store is taken by another value"


def _without(claim: NewClaim, refused: set[Observable]) -> NewClaim:
    kept = tuple(one for one in claim.observables if one not in refused)
    return claim if len(kept) == len(claim.observables) else structs.replace(claim, observables=kept)


def _retract(
    key_of: KeyOf,
    batch: Sequence[tuple[Fresh, NewClaim | None]],
    touched: dict[int, Touched],
    refused: set[Observable],
    now: Micros,
) -> set[tuple[int, int]]:
    """Finds claims that an object's new version no longer makes; gives their (observable, object) keys."""
    gone: set[tuple[int, int]] = set()
    for one, claim in batch:
        if one.before is None:
            continue
        kept = refused.union(claim.observables) if claim else refused
        for observable in _observables(one.before):
            if observable not in kept:
                key = observable_key(key_of, observable)
                touched.setdefault(key, Touched(observable, key, {}, now))
                gone.add((key, one.key))
    return gone


def _observables(body: bytes) -> Iterable[Observable]:
    """Gives what a version that is held made a claim about."""
    try:
        read = reread(body)
        return read_pattern(read.pattern or "", held=True) if speaks_stix(read) else ()
    except BadValue:
        # It was kept as an original without claims, so there is none to take back.
        return ()


def _claim_rows(
    key_of: KeyOf,
    source: Source,
    origins: Origins,
    batch: Sequence[tuple[Fresh, NewClaim | None]],
    touched: dict[int, Touched],
    result: Merged,
    now: Micros,
) -> tuple[list[Row], set[Observable]]:
    """Makes the rows of table ``claim`` and notes them on the observables they are about.

    Gives beside them what has the key of another observable of the batch.
    """
    said: list[_Said] = []
    number, voice, reliability = source.number, source.voice, source.reliability
    weights: dict[int | None, float] = {}
    makers: dict[str | None, int] = {}
    for one, claim in batch:
        if one.previous is None:
            result.new += 1
        elif one.read.revoked:
            result.withdrawn += 1
        else:
            result.changed += 1
        if claim is None:
            continue
        origin = makers.get(claim.origin)
        if origin is None:
            origin = makers[claim.origin] = origins.number(source.lineage or claim.origin or source.name)
        flags = (REVOKED if claim.revoked else 0) | (BENIGN if claim.benign else 0) | claim.handling
        heft = weights.get(claim.confidence)
        if heft is None:
            heft = weights[claim.confidence] = weight(claim.confidence, reliability)
        observed, begins, ends = claim.observed, claim.valid_from, claim.valid_until
        about = ClaimRow(origin, 0.0 if flags & VOID else heft, observed, begins, ends, voice)
        row = one.key, number, origin, claim.confidence, observed, begins, ends, claim.tlp, flags
        for observable in claim.observables:
            said.append((key_of(f"{observable.kind}|{observable.value}".encode()), observable, about, row))
    # In order of the keys, in which all of it is written: from here on it lies in memory as it is met.
    said.sort(key=_key)
    return _noted(said, touched, now)


_Said = tuple[int, Observable, ClaimRow, "tuple[int, int, int, int | None, int, int, int | None, int, int]"]
"""A claim about one observable: key and observable, the claim as the score needs it, its row but for the observable."""


def _key(said: _Said) -> int:
    return said[0]


def _noted(said: Sequence[_Said], touched: dict[int, Touched], now: Micros) -> tuple[list[Row], set[Observable]]:
    rows: list[Row] = []
    doubles: set[Observable] = set()
    for key, observable, about, row in said:
        entry = touched.get(key)
        if entry is None:
            entry = touched[key] = Touched(observable, key, {row[0]: about}, now)
        elif entry.observable == observable:
            entry.claims[row[0]] = about
        else:
            doubles.add(observable)
            continue
        rows.append((entry, *row))
    return rows, doubles


def recall(
    conn: Connection,
    touched: dict[int, Touched],
    speakers: Mapping[int, Source],
    gone: set[tuple[int, int]],
    rows: list[Row],
) -> set[Observable]:
    """Reads what the store knows of a batch's observables (by key), and the other claims about them.

    ``gone`` are the (observable, object) keys of claims that the batch takes back. Gives those observables whose key
    another has.
    """
    taken: set[Observable] = set()
    known: dict[int, int] = {}
    for number, key, kind, value, first_seen, cap in conn.execute(
        "SELECT number, key, kind, value, first_seen, cap FROM observable"
        " WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(touched)),),
    ):
        entry = touched[key]
        if entry.observable.value != value or KIND_CODE[entry.observable.kind] != kind:
            taken.add(entry.observable)
            continue
        entry.number, entry.first_seen, entry.cap = number, first_seen, cap
        known[number] = key
    for key, reports in evidence_by_key(conn, touched).items():
        touched[key].reports = reports
    if not known:
        return taken
    for number, opinions in opinions_about(conn, "number", sorted(known)).items():
        touched[known[number]].opinions = opinions
    void: set[int] = set()
    for number, obj, source, origin, confidence, observed, valid_from, valid_until, flags in conn.execute(
        "SELECT observable, object, source, origin, confidence, observed, valid_from, valid_until, flags"
        " FROM claim WHERE observable IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(known)),),
    ):
        key = known[number]
        claims = touched[key].claims
        if obj not in claims and (key, obj) not in gone:
            speaker = speakers[source]
            heft = 0.0 if flags & VOID else weight(confidence, speaker.reliability)
            claims[obj] = ClaimRow(origin, heft, observed, valid_from, valid_until, speaker.voice)
        elif flags & REVOKED:
            void.add(obj)
    if void:
        _keep_revoked(void, rows)
    return taken


def _keep_revoked(void: set[int], rows: list[Row]) -> None:
    """Lets a claim of an object that was revoked before weigh nothing, whatever its new version says."""
    for at, row in enumerate(rows):
        entry, obj, flags = row[0], row[1], row[-1] | REVOKED
        if obj in void:
            rows[at] = (*row[:-1], flags)
            entry.claims[obj] = entry.claims[obj]._replace(weight=0.0)


def write(
    conn: Connection,
    touched: Mapping[int, Touched],
    rows: list[Row],
    gone: set[tuple[int, int]],
    cap_of: CapOf,
    now: Micros,
) -> None:
    """Writes a batch: its observables with their new scores, its claims, and what it takes back."""
    new, known, written = [], [], []
    alike: dict[tuple[object, ...], tuple[int, Micros | None]] = {}
    number = int(conn.execute("SELECT coalesce(max(number), 0) FROM observable").fetchone()[0])
    # In order of their keys, in which the index on them is written.
    for key in sorted(touched):
        entry = touched[key]
        if not entry.number and not entry.claims:
            continue
        kind, text = observable = entry.observable
        cap = entry.cap if entry.number else cap_of(observable)
        # The rows of a list all say the same, and so do those of other lists that name them: reckoned once.
        same = (kind, cap, entry.reports, entry.opinions, *entry.claims.values())
        told = alike.get(same)
        if told is None:
            plain = not (cap or entry.opinions or entry.reports != _NO_REPORTS)
            evidence = _NO_EVIDENCE if plain else evidence_of(cap, *entry.reports, entry.opinions)
            told = alike[same] = assess(kind, list(entry.claims.values()), evidence, now)
        value, next_change = told
        if entry.number:
            known.append((value, next_change, entry.number))
        else:
            number += 1
            entry.number = number
            new.append((number, key, KIND_CODE[kind], text, value, next_change, now, cap))
        written.append(entry.number)
    # FAIL, since whatever is wrong undoes the whole transaction: SQLite would else save each page that it touches.
    insert(conn, "INSERT OR FAIL INTO observable (number, key, kind, value, score, next_change, first_seen, cap)", new)
    conn.executemany("UPDATE observable SET score = ?, next_change = ? WHERE number = ?", known)
    conn.executemany(
        "DELETE FROM claim WHERE observable = ? AND object = ?", [(touched[key].number, obj) for key, obj in gone]
    )
    insert(conn, "INSERT OR REPLACE INTO claim", [(row[0].number, *row[1:]) for row in sorted(rows, key=_place)])
    conn.execute("INSERT INTO changed_observable (observable) SELECT value FROM json_each(?)", (json.dumps(written),))


def _place(row: Row) -> int:
    """Gives where a claim's row stands in its table: beside its observable's others."""
    return row[0].number


def void_claim(conn: Connection, observable: int, obj: int, void: bool) -> None:
    """Lets an object's claim about an observable (by key, number) weigh nothing, as if it were revoked, or weigh again.

    Only for objects of our own: whether others' are revoked is theirs to say. The observable is left to be scored.
    """
    flags = f"flags | {REVOKED}" if void else f"flags & ~{REVOKED}"
    conn.execute(f"UPDATE claim SET flags = {flags} WHERE observable = ? AND object = ?", (observable, obj))


def cap_anew(conn: Connection, cap_of: CapOf) -> list[int]:
    """Caps every observable as what is ours and known benign demand now; inside the caller's transaction.

    Gives the numbers of those whose cap has changed; they are left for the caller to score.
    """
    changed: list[tuple[str | None, int]] = []
    for number, kind, value, cap in conn.execute("SELECT number, kind, value, cap FROM observable"):
        wanted = cap_of(Observable(CODE_KIND[kind], value))
        if wanted != cap:
            changed.append((wanted, number))
    conn.executemany("UPDATE observable SET cap = ? WHERE number = ?", changed)
    return [number for _, number in changed]
