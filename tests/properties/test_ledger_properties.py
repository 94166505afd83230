"""The ledger as a whole: nothing is released without a row, no row without a release, and nothing changes unseen."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builders import (
    DAY,
    NOW,
    SECOND,
    feed_source,
    find,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_indicator_json,
    make_outlet,
    make_store,
    take_in,
    with_terms,
)
from threatshare.cli.ledger_verifier import verify
from threatshare.model import CollectionKind, Micros, Tlp
from threatshare.policy.agreements import Outbound
from threatshare.store.connection import Connection, IntegrityError
from threatshare.store.embedded import Store
from threatshare.store.entries import SEQ_BITS
from threatshare.store.ledger import rows
from threatshare.store.ledger_check import check

NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000
AGREED = make_agreement()
LOWER = with_terms(AGREED, version=2, outbound=Outbound("clear"))
VALUES = [ip(f"45.0.0.{number}") for number in range(4)]
COLUMNS = ("number", "at", "terms", "entry", "object", "version", "digest", "hash")


@pytest.fixture(scope="module")
def filled() -> Iterator[Store]:
    """A store whose ledger has releases to two audiences, a new version, and withdrawals; its guards are off."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder))
        partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
        siem = make_collection(store, CollectionKind.SIEM)
        find(store, *VALUES[:3])
        let_out(store, make_outlet(partner, AGREED), make_outlet(siem))
        find(store, VALUES[0], seen=NOW, now=NOW + DAY)
        let_out(store, make_outlet(partner, AGREED, NOW + DAY), make_outlet(siem, now=NOW + DAY))
        let_out(store, make_outlet(partner, LOWER, NOW + 2 * DAY))
        for (name,) in store.conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            store.conn.execute(f"DROP TRIGGER {name}")
        yield store
        store.close()


@contextmanager
def tampered(store: Store) -> Iterator[Connection]:
    """Lends the store for changes that are undone."""
    with store.trying() as conn:
        yield conn


def count(store: Store) -> int:
    return int(store.conn.execute("SELECT count(*) FROM ledger").fetchone()[0])


def changed(value: object, place: int, bits: int) -> object:
    """Gives a stored value with one byte changed."""
    if isinstance(value, int):
        return value ^ bits << 8 * (place % 7)
    raw = bytearray(value.encode() if isinstance(value, str) else bytes(value))  # type: ignore[call-overload]
    raw[place % len(raw)] ^= bits
    return bytes(raw)


@given(data=st.data())
def test_no_byte_of_a_row_changes_unseen(filled: Store, data: st.DataObject) -> None:
    """A single byte changed in any column of any row is seen, and the first problem names that row."""
    number = data.draw(st.integers(1, count(filled)), "row")
    column = data.draw(st.sampled_from(COLUMNS), "column")
    with tampered(filled) as conn:
        value = conn.execute(f"SELECT {column} FROM ledger WHERE number = ?", (number,)).fetchone()[0]
        assume(value != b"")
        new = changed(value, data.draw(st.integers(0, 40)), data.draw(st.integers(1, 255)))
        try:
            conn.execute(f"UPDATE ledger SET {column} = ? WHERE number = ?", (new, number))
        except IntegrityError:
            # Its number is another row's already.
            assume(False)
        problems = check(conn).problems
    assert problems
    if column != "number":
        assert problems[0].startswith(f"row {number}:")


@given(data=st.data())
def test_no_byte_of_the_terms_changes_unseen(filled: Store, data: st.DataObject) -> None:
    """A single byte changed in the terms is seen at the first row that left on them."""
    terms = dict(filled.conn.execute("SELECT terms, min(number) FROM ledger GROUP BY terms").fetchall())
    number = data.draw(st.sampled_from(sorted(terms)), "terms")
    with tampered(filled) as conn:
        text = conn.execute("SELECT text FROM ledger_terms WHERE number = ?", (number,)).fetchone()[0]
        new = changed(text, data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(1, 127)))
        conn.execute("UPDATE ledger_terms SET text = CAST(? AS TEXT) WHERE number = ?", (new, number))
        assert check(conn).problems[0].startswith(f"row {terms[number]}:")


@given(data=st.data())
def test_no_row_is_deleted_swapped_or_inserted_unseen(filled: Store, data: st.DataObject) -> None:
    """A row that is deleted, exchanged with another, doubled, or put in with all behind it moved up, is seen."""
    last = count(filled)
    one, other = data.draw(st.lists(st.integers(1, last), min_size=2, max_size=2, unique=True), "rows")
    deed = data.draw(st.sampled_from(["delete", "close the gap", "swap", "append", "insert"]), "deed")
    with tampered(filled) as conn:
        if deed == "delete" or deed == "close the gap":
            conn.execute("DELETE FROM ledger WHERE number = ?", (one,))
        if deed == "close the gap":
            assume(one != last)
            conn.execute("UPDATE ledger SET number = -number WHERE number > ?", (one,))
            conn.execute("UPDATE ledger SET number = -number - 1 WHERE number < 0")
        if deed == "swap":
            for before, after in ((one, 0), (other, one), (0, other)):
                conn.execute("UPDATE ledger SET number = ? WHERE number = ?", (after, before))
        if deed in ("append", "insert"):
            place = last + 1 if deed == "append" else other
            conn.execute("UPDATE ledger SET number = -number - 1 WHERE number >= ?", (place,))
            conn.execute("UPDATE ledger SET number = -number WHERE number < 0")
            source = one + 1 if one >= place else one
            conn.execute(
                "INSERT INTO ledger SELECT ?, at, terms, entry, object, version, digest, hash FROM ledger"
                " WHERE number = ?",
                (place, source),
            )
        problems = check(conn).problems
    assert problems
    if deed == "delete" and one != last:
        assert problems[0] == f"row {one} is missing: the next is {one + 1}"


@given(data=st.data())
def test_no_tail_is_dropped_beyond_an_anchor(filled: Store, data: st.DataObject) -> None:
    """Rows dropped from the end, with their entries and decisions, are missed by any anchor that witnessed one."""
    last = count(filled)
    anchored = data.draw(st.integers(2, last), "anchored")
    kept = data.draw(st.integers(1, anchored - 1), "kept")
    anchors = {row.number: [row.hash] for row in rows(filled.conn) if row.number == anchored}
    with tampered(filled) as conn:
        conn.execute("DELETE FROM entry WHERE id IN (SELECT entry FROM ledger WHERE number > ?)", (kept,))
        conn.execute("DELETE FROM ledger WHERE number > ?", (kept,))
        conn.execute("DELETE FROM release")
        for (number,) in conn.execute("SELECT number FROM collection").fetchall():
            conn.execute(
                "UPDATE collection SET last_seq = (SELECT coalesce(max(id) & ?, 0) FROM entry WHERE id >> 40 = ?)"
                " WHERE number = ?",
                ((1 << SEQ_BITS) - 1, number, number),
            )
        assert check(conn).problems == [], "without its anchor a tail that was dropped whole cannot be missed"
        assert check(conn, anchors).problems == [
            f"row {anchored} is missing: an anchor witnessed it, and the ledger ends before it"
        ]


@given(data=st.data())
def test_no_byte_of_an_export_changes_unseen(filled: Store, data: st.DataObject) -> None:
    """The standalone verifier sees a changed byte anywhere in an export, and a dropped line below an anchor."""
    lines = [row.exported.encode() + b"\n" for row in rows(filled.conn)]
    whole = b"".join(lines)
    anchors = {row.number: {row.hash} for row in rows(filled.conn) if row.number % 3 == 0}
    place = data.draw(st.integers(0, len(whole) - 1), "place")
    bits = data.draw(st.integers(1, 255), "bits")
    broken = whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]
    dropped = lines[: data.draw(st.integers(0, max(anchors) - 1), "kept")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.jsonl"
        file.write_bytes(whole)
        assert verify(file, dict(anchors))[1] == 0
        file.write_bytes(broken)
        said, code = verify(file, {})
        number = whole[:place].count(b"\n") + 1
        assert (code, said.split()[:3]) == (1, ["BROKEN:", "row", str(number)])
        file.write_bytes(b"".join(dropped))
        assert verify(file, dict(anchors))[1] == 1


# --- whatever publishing does ------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What happens between two runs of publish, and under which agreement the second one runs."""

    found: tuple[int, ...]
    tlp: Tlp
    told: int | None
    agreement: int
    dry: bool
    pause: Micros


STEPS = st.lists(
    st.builds(
        Step,
        found=st.lists(st.integers(0, len(VALUES) - 1), max_size=3).map(tuple),
        tlp=st.sampled_from([Tlp.CLEAR, Tlp.GREEN, Tlp.RED]),
        told=st.none() | st.integers(0, len(VALUES) - 1),
        agreement=st.integers(0, 2),
        dry=st.booleans(),
        pause=st.sampled_from([SECOND, DAY, 40 * DAY]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=1_000 if NIGHTLY else 25)
@given(steps=STEPS)
def test_every_release_has_its_row_and_every_row_its_release(steps: list[Step]) -> None:
    """Whatever publishing releases and withdraws, entries of ours and rows are one to one, to the byte."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder))
        partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
        siem = make_collection(store, CollectionKind.SIEM)
        internal = make_collection(store, CollectionKind.INTERNAL)
        source, now, known = feed_source(store), NOW, 0
        for number, step in enumerate(steps):
            now += step.pause
            if step.found:
                find(store, *(VALUES[one] for one in step.found), seen=now, now=now, tlp=step.tlp)
            if step.told is not None:
                take_in(store, source, make_indicator_json(number, VALUES[step.told], modified=now), now=now)
            outlets = (
                make_outlet(partner, (AGREED, LOWER, None)[step.agreement], now),
                make_outlet(siem, now=now),
                make_outlet(internal, now=now),
            )
            let_out(store, *outlets, dry_run=step.dry)
            recorded = [
                (row.told["collection"] << SEQ_BITS | row.seq, row.object_id, row.version, row.digest)
                for row in rows(store.conn)
                if row.told["what"] != "opening"
            ]
            assert len(recorded) >= known
            known = len(recorded)
            assert sorted(recorded) == [
                (entry, object_id, version, sha256(body).hexdigest())
                for entry, object_id, version, body in store.conn.execute(
                    "SELECT id, object_id, version, body FROM entry ORDER BY id"
                )
            ]
            said = {row.told["collection"] << SEQ_BITS | row.seq: row.told["what"] for row in rows(store.conn)}
            for entry, body in store.conn.execute("SELECT id, body FROM entry"):
                assert (said[entry] == "withdrawal") == json.loads(body).get("revoked", False)
            assert check(store.conn).problems == []
        store.close()
