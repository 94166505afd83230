"""The feeds and accounts of one partner are one voice in a score, however many of them say the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import BAD, NOW, SECOND, feed_source, identity_uuid, make_indicator_json, make_store, take_in
from clocks import FixedClock
from nodes import make_node
from threatshare.lookup import lookup
from threatshare.model import Account, CollectionKind, Opinion
from threatshare.node import Node, build_node
from threatshare.publish import rescore_due
from threatshare.stix.received import read_object
from threatshare.store.accounts import add_account
from threatshare.store.collections import add_collection, collections
from threatshare.store.embedded import Store
from threatshare.store.lookups import claims_about, known
from threatshare.triage.score import score

NAMES = ("desk-1", "desk-2", "desk-3", "desk-4")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node with an inbox to which four accounts post, of which nothing says whose they are."""
    built = build_node(make_node(tmp_path / "node").directory, FixedClock())
    with built.store.writing() as conn:
        add_collection(conn, "inbox", "Inbox", CollectionKind.INBOX, None, NOW)
        for name in NAMES:
            add_account(conn, name, [], ["inbox"], NOW)
    yield built
    built.close()


def tie(node: Node, partner: str) -> None:
    with node.store.writing() as conn:
        conn.executemany("UPDATE account SET partner = ? WHERE name = ?", [(partner, one) for one in NAMES])


def post_all(node: Node) -> None:
    inbox = next(one for one in collections(node.store.conn) if one.alias == "inbox")
    for number, name in enumerate(NAMES, 1):
        raw = said(number)
        account = Account(name, frozenset(), frozenset({"inbox"}))
        assert node.accept(inbox, account, [(raw, read_object(raw))], NOW) == [None]


def said(number: int) -> bytes:
    """Gives an indicator of the value that names a creator of its own."""
    return make_indicator_json(number, confidence=95, modified=NOW, created_by_ref=identity_uuid(number))


def scores(store: Store) -> tuple[int, int]:
    """Gives the score that is kept, and the one that is explained."""
    entry = known(store.conn, store.key_of, [BAD])[BAD]
    claims = [one.claim for one in claims_about(store.conn, [entry.number])[entry.number]]
    return entry.score, score(entry.observable.kind, claims, entry.evidence, NOW).value


def test_accounts_that_are_tied_to_one_partner(node: Node) -> None:
    """Four accounts of one partner that say the same are worth what one of them is, and the explanation says why."""
    tie(node, "north")
    post_all(node)
    assert scores(node.store) == (48, 48)
    (found,) = lookup(node.store.conn, [BAD.value], node.now())
    assert "heard from one source (those of one partner are one), and none counts more than once" in str(found)


def test_accounts_that_are_tied_later(node: Node) -> None:
    """Accounts that turn out to be one partner's are one voice in what they said before, as soon as anything leaves."""
    post_all(node)
    assert scores(node.store)[0] > 90
    tie(node, "north")
    node.outlets()
    assert scores(node.store) == (48, 48)


def test_sources_of_two_partners(store: Store) -> None:
    """Sources of different partners support each other; those of one do so only once it is not known any more."""
    for number, name in enumerate(("a-1", "a-2", "b-1"), 1):
        take_in(store, feed_source(store, name, "C"), said(number))
    for partners, expected in (
        ({"a-1": "a", "a-2": "a", "b-1": "b"}, 72),
        ({"a-1": "a", "a-2": "a", "b-1": "a"}, 48),
        ({"a-1": None, "a-2": "a", "b-1": "b"}, 86),
    ):
        assert store.bind_sources(partners)
        assert not store.bind_sources(partners)
        rescore_due(store, NOW)
        assert scores(store) == (expected, expected)


def test_what_is_said_while_sources_are_bound(store: Store) -> None:
    """A claim that comes in is scored at once as its partner's, beside what another source of it has said."""
    made = [feed_source(store, name, "C") for name in ("a-1", "a-2")]
    store.bind_sources({"a-1": "a", "a-2": "a"})
    for number, source in enumerate(made, 1):
        take_in(store, source, said(number), now=NOW + number * SECOND)
    assert scores(store)[0] in (47, 48)


def test_opinions_of_one_partner(store: Store) -> None:
    """Of the opinions that several sources of one partner have, its latest word counts, once."""
    sources = [feed_source(store, name, "A") for name in ("a-1", "a-2", "b-1")]
    take_in(store, sources[0], said(1))
    number = known(store.conn, store.key_of, [BAD])[BAD].number
    with store.writing() as conn:
        conn.executemany(
            "INSERT INTO opinion (observable, source, object, modified, value) VALUES (?, ?, ?, ?, ?)",
            [
                (number, one.number, one.number, NOW - at, word)
                for one, at, word in zip(sources, (0, 1, 2), ("disagree", "strongly-agree", "agree"), strict=True)
            ],
        )
    store.bind_sources({"a-1": "a", "a-2": "a", "b-1": "b"})
    told = known(store.conn, store.key_of, [BAD])[BAD].opinions
    assert told == (Opinion("a-1", "disagree", "A"), Opinion("b-1", "agree", "A"))
