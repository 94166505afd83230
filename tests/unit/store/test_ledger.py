"""The ledger as it is written: its encoding, its guards, and what is found in it."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    dump,
    feed_source,
    find,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_indicator_json,
    make_outlet,
    served,
    take_in,
    with_terms,
)
from ledger_builders import OBJECT, TERMS
from threatshare.cli.ledger_verifier import FIELDS
from threatshare.model import CollectionKind
from threatshare.policy.agreements import digest
from threatshare.stix.objects import indicator_id
from threatshare.store.connection import DatabaseError
from threatshare.store.decisions import REVIEW, Action, ByWhom, Scope, cover_objects, save_decision
from threatshare.store.embedded import Store
from threatshare.store.entries import SEQ_BITS
from threatshare.store.ledger import (
    GENESIS,
    Line,
    canonical,
    chosen,
    head,
    record,
    rows,
)
from threatshare.store.ledger_check import check
from threatshare.store.releases import note_own_changes

AGREED = make_agreement()


def test_the_encoding_is_the_documented_one(store: Store) -> None:
    """A row's hash is SHA-256 over the documented line, to the byte; the documented example holds."""
    body = sha256(b"the served bytes").digest()
    record(store.conn, US, [Line(3 << SEQ_BITS | 7, "indicator", OBJECT, 5, body, TERMS.text)], 1_000)
    opening, row = rows(store.conn)
    line = (
        b'{"at":1000,"digest":"' + body.hex().encode() + b'","number":2,'
        b'"object":"indicator--00000000-0000-4000-8000-000000000001","previous":"' + opening.hash.encode() + b'",'
        b'"seq":7,"terms":{"agreement":null,"alias":"to-north","approved":[["minimum-score","Zo\\u00eb"]],'
        b'"collection":3,"kind":"partner","partner":"north","rules":["agreement-in-force","minimum-score"],'
        b'"type":"indicator","what":"release"},"version":5}'
    )
    assert row.hash == sha256(line).hexdigest()
    assert json.loads(row.exported) == json.loads(line) | {"hash": row.hash}
    first = (
        b'{"at":1000,"digest":"","number":1,"object":"' + US.encode() + b'","previous":"' + b"0" * 64 + b'","seq":0,'
        b'"terms":{"agreement":null,"alias":"","approved":[],"collection":0,"kind":"","partner":null,"rules":[],'
        b'"type":"identity","what":"opening"},"version":0}'
    )
    assert opening.hash == sha256(first).hexdigest()


def test_the_documentation_s_example_holds(root: Path) -> None:
    """The example row in the documentation gives the hash that stands in it, by the documented rule."""
    text = (root / "docs/explain/ledger.md").read_text("utf-8")
    shown = re.search(r"^    (\{\"at\".*?\})\n\n", text, re.M | re.S)
    assert shown is not None
    told = json.loads("".join(line.strip() for line in shown[1].splitlines()))
    hashed = told.pop("hash")
    assert sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == hashed
    assert told["previous"] == GENESIS
    fields = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    assert fields == set(told) | {"hash"} == FIELDS


@pytest.mark.parametrize(
    "object_id",
    [OBJECT, OBJECT.upper(), "indicator--x", 'indicator--"\\ü', "", "sighting--00000000-0000-4000-8000-000000000001"],
)
def test_any_id_is_kept_as_it_is(store: Store, object_id: str) -> None:
    """An id of any form comes back as it was, and its row is found by it."""
    record(store.conn, US, [Line(3 << SEQ_BITS | 1, "indicator", object_id, 5, b"", TERMS.text)], 1)
    assert [row.object_id for row in rows(store.conn)] == [US, object_id]
    assert [row.number for row in chosen(store.conn, 9, [object_id])] == [2]
    for row in rows(store.conn):
        told = json.loads(row.exported)
        hashed = told.pop("hash")
        assert sha256(canonical(told).encode()).hexdigest() == hashed


def test_every_release_is_recorded_with_its_terms(store: Store) -> None:
    """A release's row names collection, bytes, agreement and rules; our Identity is introduced; ours has no terms."""
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    internal = make_collection(store, CollectionKind.INTERNAL)
    find(store)
    let_out(store, make_outlet(partner, AGREED), make_outlet(internal))
    opening, us, ours, us_again, inside = rows(store.conn)
    assert [one.number for one in (opening, us, ours, us_again, inside)] == [1, 2, 3, 4, 5]
    assert (opening.told["what"], opening.object_id, opening.previous) == ("opening", US, GENESIS)
    assert [one.told["what"] for one in (us, ours, us_again, inside)] == ["introduction", "release"] * 2
    assert (ours.object_id, ours.seq, ours.at) == (indicator_id(US, BAD), 2, NOW)
    assert ours.told["agreement"] == {"partner": "north", "version": 1, "sha256": digest(AGREED).hex()}
    assert inside.told["agreement"] is None
    assert (ours.told["alias"], ours.told["partner"], inside.told["partner"]) == ("to-north", "north", None)
    assert {"agreement-in-force", "marking-ceiling", "privacy"} <= set(ours.told["rules"])
    (body,) = store.conn.execute("SELECT body FROM entry WHERE id = ?", (partner.number << SEQ_BITS | 2,)).fetchone()
    assert ours.digest == sha256(body).hexdigest()
    assert BAD.value not in dump(store.conn)["ledger_terms"][-1][1]


def test_a_withdrawal_says_why(store: Store) -> None:
    """A withdrawal's row names the agreement of now, and the rules for which the object may no longer stand."""
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    find(store)
    let_out(store, make_outlet(partner, AGREED))
    lower = with_terms(AGREED, version=2, outbound=type(AGREED.outbound)("clear", ("indicator",)))
    let_out(store, make_outlet(partner, lower, NOW + DAY))
    last = list(rows(store.conn))[-1]
    assert (last.told["what"], last.object_id) == ("withdrawal", indicator_id(US, BAD))
    assert last.told["rules"] == ["withdrawal", "marking-ceiling"]
    assert last.told["agreement"]["version"] == 2


def test_who_lifted_a_hold_is_recorded(store: Store) -> None:
    """Where a person has released what a rule held, the row names rule and person, and not what the person wrote."""
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    choosy = with_terms(AGREED, outbound=type(AGREED.outbound)("amber", ("indicator",), min_score=99))
    find(store)
    assert let_out(store, make_outlet(partner, choosy)).held == 1
    with store.writing() as conn:
        by = ByWhom("Ada on call", "45.66.77.88 is known to be bad; released by nobody on 2026-01-01: x", NOW)
        number = save_decision(conn, by, Action.APPROVE, None, Scope(), standing=False, covered=1)
        cover_objects(conn, number, partner.number, {indicator_id(US, BAD): ["minimum-score"]})
        note_own_changes(conn, [row[0] for row in conn.execute("SELECT object FROM own_change").fetchall()])
    assert let_out(store, make_outlet(partner, choosy, NOW + SECOND)).released == {"to-north": 1}
    last = list(rows(store.conn))[-1]
    assert last.told["approved"] == [["minimum-score", "Ada on call"]]
    assert "45.66" not in last.exported
    assert REVIEW not in last.told["rules"]


def test_the_siem_collection_is_recorded_too(store: Store) -> None:
    """Each merged version for our SIEM has its row, and our Identity, though no reasons are kept with the release."""
    siem = make_collection(store, CollectionKind.SIEM)
    take_in(store, feed_source(store), make_indicator_json(1), make_indicator_json(2, ip("45.0.0.2")))
    let_out(store, make_outlet(siem))
    assert [one.told["what"] for one in rows(store.conn)] == ["opening", "introduction", "release", "release"]
    assert check(store.conn).problems == []


def test_a_dry_run_records_nothing(store: Store) -> None:
    """A dry run leaves no row, and the real one after it the same rows as without it."""
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    find(store)
    let_out(store, make_outlet(partner, AGREED), dry_run=True)
    assert head(store.conn) is None
    let_out(store, make_outlet(partner, AGREED))
    assert [one.number for one in rows(store.conn)] == [1, 2, 3]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ledger SET at = 1", "DELETE FROM ledger", "UPDATE ledger_terms SET text = ''", "DELETE FROM ledger_terms"],
)
def test_rows_are_only_ever_added(store: Store, statement: str) -> None:
    """A statement that would change or delete rows of the ledger is refused, from the first row on."""
    record(store.conn, US, [Line(3 << SEQ_BITS | 1, "indicator", OBJECT, 5, b"", TERMS.text)], 1)
    before = dump(store.conn)
    with pytest.raises(DatabaseError, match="only ever added to"):
        store.conn.execute(statement)
    assert dump(store.conn) == before


def test_rows_are_chosen(store: Store) -> None:
    """Rows are found by partner, object, and time to the microsecond, newest first and not more than asked for."""
    north = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    south = make_collection(store, CollectionKind.PARTNER, "to-south", "south")
    find(store, BAD, ip("45.0.0.1"))
    let_out(store, make_outlet(north, AGREED))
    let_out(store, make_outlet(south, make_agreement("south"), NOW + DAY))
    wanted = indicator_id(US, BAD)
    assert [one.number for one in chosen(store.conn, 99)] == [7, 6, 5, 4, 3, 2, 1]
    assert [one.told["alias"] for one in chosen(store.conn, 99, [wanted])] == ["to-south", "to-north"]
    assert {one.told["alias"] for one in chosen(store.conn, 99, partner="south")} == {"to-south"}
    assert len(chosen(store.conn, 2, partner="south")) == 2
    assert [one.number for one in chosen(store.conn, 99, begin=NOW + DAY)] == [7, 6, 5]
    assert [one.number for one in chosen(store.conn, 99, end=NOW + DAY)] == [4, 3, 2, 1]
    assert [one.number for one in chosen(store.conn, 99, begin=NOW + 1, end=NOW + DAY)] == []
    assert chosen(store.conn, 99, []) == []
    assert {one.number: one for one in chosen(store.conn, 99)} == {one.number: one for one in rows(store.conn)}


def test_an_entry_that_is_held_already_has_one_row(store: Store) -> None:
    """What the collection holds already is no entry and no row again: rows and entries stay one to one."""
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    find(store, BAD, ip("45.0.0.1"))
    let_out(store, make_outlet(partner, AGREED))
    with store.writing() as conn:
        conn.execute("DELETE FROM release WHERE object_id = ?", (indicator_id(US, BAD),))
        conn.execute("DELETE FROM publish_position")
    find(store, ip("45.0.0.2"))
    let_out(store, make_outlet(partner, AGREED, NOW + SECOND))
    assert [one.seq for one in rows(store.conn)][1:] == [one.seq for one in served(store, partner)]
    assert check(store.conn).problems == []
