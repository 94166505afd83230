"""What the ledger's check, and the verifier that goes with an export, tell of what was done to it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    domain,
    find,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_outlet,
)
from ledger_builders import OBJECT, TERMS
from threatshare.cli.ledger_verifier import verify
from threatshare.model import CollectionKind, Tlp
from threatshare.stix.objects import indicator_id
from threatshare.store.collections import collections
from threatshare.store.embedded import Store
from threatshare.store.entries import SEQ_BITS, delete_entries
from threatshare.store.ledger import (
    GENESIS,
    Line,
    Terms,
    What,
    canonical,
    chosen,
    head,
    record,
    record_deletions,
    rows,
)
from threatshare.store.ledger_check import MOST_PROBLEMS, check

AGREED = make_agreement()


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with a partner's collection: our Identity, three indicators, and a withdrawal of one."""
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    find(store, BAD, ip("45.0.0.1"), domain("bad.badhost.biz"))
    let_out(store, make_outlet(partner, AGREED))
    find(store, BAD, tlp=Tlp.RED, seen=NOW, now=NOW + SECOND)
    assert let_out(store, make_outlet(partner, AGREED, NOW + SECOND)).withdrawn == 1
    return store


def test_a_ledger_that_holds(filled: Store) -> None:
    """An untouched ledger holds, with and without anchors, and tells how far it goes."""
    everything = {one.number: [one.hash] for one in rows(filled.conn)}
    told: list[int] = []
    found = check(filled.conn, everything, told.append)
    assert (found.problems, found.rows, found.anchors, told) == ([], 6, 6, [6])
    assert found.head == head(filled.conn)
    assert not filled.conn.in_transaction


def test_an_entry_that_was_changed(filled: Store) -> None:
    """An entry whose bytes are not those that were released is named by its row."""
    filled.conn.execute("UPDATE entry SET body = replace(body, 'ipv4', 'ipv6') WHERE id & 0xff = 3")
    (problem,) = check(filled.conn).problems
    assert problem.startswith("row 4: entry 3 of to-north is not what was released")


def test_an_entry_that_was_slipped_in(filled: Store) -> None:
    """An entry that no gate let out is found, also where the collection's counter does not know it."""
    filled.conn.execute(
        "INSERT INTO entry SELECT id + 1, added + 1, 'indicator--x', version, type, spec_version, owner, 0, body"
        " FROM entry ORDER BY id DESC LIMIT 1"
    )
    assert check(filled.conn).problems == ["to-north: entry 6 (indicator--x) has no row in the ledger"]


def test_an_empty_ledger_beside_entries(filled: Store) -> None:
    """A ledger that was thrown away as a whole is missed: the entries still stand."""
    unguarded(filled)
    filled.conn.execute("DELETE FROM ledger")
    assert "entry 1" in check(filled.conn).problems[0]


def test_an_entry_that_was_deleted(filled: Store) -> None:
    """A deleted entry is a problem where nobody recorded it; where it was recorded the ledger holds."""
    (collection,) = collections(filled.conn)
    entry = collection.number << SEQ_BITS | 3
    lost = f"row 4: entry 3 of collection {collection.number} is gone, and no row records its deletion"
    with filled.trying() as conn:
        delete_entries(conn, collection, [entry])
        assert check(conn).problems[0] == lost
    with filled.writing() as conn:
        record_deletions(conn, US, [entry], "exercise-end", "Ada", NOW + DAY)
        assert "still stands" in check(conn).problems[0]
        delete_entries(conn, collection, [entry])
    assert check(filled.conn).problems == []
    last = list(rows(filled.conn))[-1]
    assert (last.told["what"], last.seq, last.told["approved"]) == ("deletion", 3, [["exercise-end", "Ada"]])


def test_a_release_without_entry(filled: Store) -> None:
    """A decision that let something out, of which there is neither entry nor row, is named."""
    filled.conn.execute("UPDATE release SET version = version + 1 WHERE object_id = ?", (US,))
    (problem,) = check(filled.conn).problems
    assert US in problem


def test_a_later_life_is_looked_for_under_its_id(store: Store) -> None:
    """An object in its second life has its row under the id of that life."""
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    find(store)
    for life in range(3):
        let_out(store, make_outlet(partner, AGREED, NOW + 2 * life * DAY))
        let_out(store, make_outlet(partner, None, NOW + (2 * life + 1) * DAY))
    assert check(store.conn).problems == []
    store.conn.execute("UPDATE release SET life = 9 WHERE object_id = ?", (indicator_id(US, BAD),))
    assert len(check(store.conn).problems) == 1


def test_a_dropped_tail(filled: Store) -> None:
    """A dropped last row is missed by its collection; where that was made to fit as well, only by an anchor."""
    anchors = {one.number: [one.hash] for one in rows(filled.conn)}
    unguarded(filled)
    filled.conn.execute("DELETE FROM ledger WHERE number = 6")
    assert check(filled.conn).problems[0].startswith("to-north: entry 5")
    filled.conn.execute("DELETE FROM entry WHERE id & 0xff = 5")
    assert check(filled.conn).problems[0] == "to-north: 5 entries were added, and the ledger records 4"
    filled.conn.execute("UPDATE collection SET last_seq = 4")
    filled.conn.execute("DELETE FROM release WHERE verdict <> 'release'")
    assert check(filled.conn).problems == []
    assert check(filled.conn, anchors).problems == [
        "row 6 is missing: an anchor witnessed it, and the ledger ends before it"
    ]


def test_a_chain_made_anew(filled: Store) -> None:
    """A ledger that was written anew from some row on, hashes and all, is told by the first anchor behind it."""
    anchors = {one.number: [one.hash] for one in rows(filled.conn) if one.number in (3, 5)}
    unguarded(filled)
    kept = filled.conn.execute("SELECT id, object_id, version, body FROM entry").fetchall()
    filled.conn.execute("DELETE FROM ledger")
    forged = Terms(What.RELEASE, "", 1, "to-north", "partner", "somebody else").text
    lines = [Line(entry, "", name, version, sha256(body).digest(), forged) for entry, name, version, body in kept]
    record(filled.conn, US, lines, NOW)
    assert check(filled.conn).problems == []
    problems = check(filled.conn, anchors).problems
    assert [one.partition(":")[0] for one in problems] == ["row 3", "row 5"]


def test_an_entry_whose_row_was_left_out(filled: Store) -> None:
    """A ledger made anew without one entry's row is told without any anchor: the entry has no row."""
    unguarded(filled)
    kept = filled.conn.execute("SELECT id, object_id, version, body FROM entry WHERE id & 0xff <> 3").fetchall()
    filled.conn.execute("DELETE FROM ledger")
    terms = Terms(What.RELEASE, "", 1, "to-north", "partner", "north").text
    lines = [Line(entry, "", name, version, sha256(body).digest(), terms) for entry, name, version, body in kept]
    record(filled.conn, US, lines, NOW)
    assert check(filled.conn).problems == ["row 4: entry 4 of to-north follows 2: rows between are missing"]


def test_terms_in_another_spelling(store: Store) -> None:
    """Terms that are hashed rightly but not written canonically are refused: no two texts may say the same."""
    odd = TERMS.text.replace(":", ": ")
    record(store.conn, US, [Line(3 << SEQ_BITS | 1, "indicator", OBJECT, 5, b"", odd)], 1)
    assert check(store.conn).problems[0].startswith("row 2: its terms (2) are missing or cannot be read")


@pytest.mark.parametrize(
    ("forged", "fault"),
    [
        ({"number": 4}, "row 3 is missing: the next is 4"),
        ({"previous": GENESIS}, "row 3 does not follow the row before it"),
        ({"version": 1}, "row 3 is not what was anchored: the ledger was made anew up to here"),
        ({"more": 1}, "row 3 has other fields than a row has"),
    ],
)
def test_forged_rows_of_an_export(filled: Store, tmp_path: Path, forged: dict[str, object], fault: str) -> None:
    """The standalone verifier names a row that gives its own hash and yet is not the one that belongs there."""
    lines = [json.loads(row.exported) for row in rows(filled.conn)][:3]
    anchors = {3: {lines[2]["hash"]}}
    file = tmp_path / "export.jsonl"
    told = lines[2] | forged
    del told["hash"]
    lines[2] = told | {"hash": sha256(canonical(told).encode()).hexdigest()}
    file.write_text("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in lines))
    assert verify(file, anchors) == (f"BROKEN: {fault}", 1)


def test_problems_are_counted_beyond_a_hundred(store: Store) -> None:
    """Of very many problems the first hundred are told, the rest counted."""
    lines = [Line(3 << SEQ_BITS | seq, "indicator", OBJECT, seq, b"", TERMS.text) for seq in range(1, 201)]
    record(store.conn, US, lines, 1)
    found = check(store.conn)
    assert len(found.problems) == MOST_PROBLEMS
    assert found.untold > 0


def test_a_broken_ledger_can_still_be_shown(filled: Store) -> None:
    """Rows whose terms are gone or cannot be read are shown all the same."""
    unguarded(filled)
    filled.conn.execute("UPDATE ledger_terms SET text = 'nonsense' || number")
    shown = chosen(filled.conn, 9)
    assert {one.told["what"] for one in shown} == {"unreadable"}
    assert len(list(rows(filled.conn))) == 6
    assert check(filled.conn).problems[0].startswith("row 1: its terms")


def unguarded(store: Store) -> None:
    """Takes the guards away, as somebody would who wants to change the ledger."""
    for (name,) in store.conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        store.conn.execute(f"DROP TRIGGER {name}")
