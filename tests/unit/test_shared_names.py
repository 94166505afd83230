"""A feed and an account of one name: one source only where an agreement says that both are one partner's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import NOW, SECOND, ip, make_indicator_json
from clocks import FixedClock
from nodes import NodeAtWork, make_node
from threatshare.cli.feed_health import feed_problems
from threatshare.errors import ConfigurationError
from threatshare.lookup import lookup
from threatshare.model import Account, CollectionKind
from threatshare.node import Node, build_node
from threatshare.stix.received import read_object
from threatshare.store.accounts import add_account
from threatshare.store.collections import add_collection, collections

VALUE = "203.0.113.7"


@pytest.fixture
def made(tmp_path: Path) -> NodeAtWork:
    return make_node(tmp_path / "node")


@pytest.fixture
def node(made: NodeAtWork) -> Iterator[Node]:
    """A node with an inbox to which the account `isac` posts."""
    built = build_node(made.directory, FixedClock())
    with built.store.writing() as conn:
        add_collection(conn, "inbox", "Inbox", CollectionKind.INBOX, None, NOW)
        add_account(conn, "isac", [], ["inbox"], NOW)
    yield built
    built.close()


def said(seconds: int, **more: object) -> bytes:
    return json.dumps(json.loads(make_indicator_json(1, ip(VALUE), modified=NOW + seconds * SECOND)) | more).encode()


def post(node: Node, raw: bytes) -> str | None:
    inbox = next(one for one in collections(node.store.conn) if one.alias == "inbox")
    account = Account("isac", frozenset(), frozenset({"inbox"}))
    (reason,) = node.accept(inbox, account, [(raw, read_object(raw))], NOW + 60 * SECOND)
    return reason


def pull(node: Node, raw: bytes) -> None:
    file = node.directory / "isac.json"
    file.write_bytes(b'{"type":"bundle","id":"bundle--1","objects":[' + raw + b"]}")
    (node.directory / "feeds" / "isac.toml").write_text(f'kind = "stix"\npath = "{file}"\nreliability = "A"\n')
    node.forget_files()
    assert node.pull_feed("isac", lambda _: True).status == "ok"


def agree(made: NodeAtWork, node: Node, partner: str, *sources: str) -> None:
    """Makes an agreement with a partner, whose intelligence comes by some names."""
    more = [option for one in sources for option in ("--source", one)]
    made.row("agreement", "add", partner, "--max-tlp", "amber", "--until", "2030-01-01", *more)
    node.forget_files()


def claims(node: Node) -> dict[str, bool]:
    """Gives who says something of the value, and whether that is revoked."""
    (answer,) = lookup(node.store.conn, [VALUE], NOW + 60 * SECOND)
    return {one.source: one.revoked for one in answer.claims}


def test_an_account_cannot_version_what_the_feed_of_its_name_brought(node: Node) -> None:
    """What `isac` posts is kept beside what the feed `isac` brings: neither withdraws the other's; doctor says so."""
    pull(node, said(0))
    assert post(node, said(1, revoked=True)) is None
    assert claims(node) == {"isac": False, "isac (inbox)": True}
    pull(node, said(3, revoked=True))
    assert claims(node) == {"isac": True, "isac (inbox)": True}
    assert any("has the name of an account" in one for one in feed_problems(node))


def test_a_feed_that_was_not_pulled_yet_has_its_name_already(node: Node) -> None:
    """Also before its first run, and where its file is wrong, a post does not take its place."""
    (node.directory / "feeds" / "isac.toml").write_text("kind = 'rss'")
    assert post(node, said(0)) is None
    pull(node, said(1))
    assert claims(node) == {"isac (inbox)": False, "isac": False}


def test_a_feed_does_not_take_over_what_an_account_posted(node: Node) -> None:
    """It is not pulled, and says what to do; what was posted stays as it was."""
    assert post(node, said(0)) is None
    with pytest.raises(ConfigurationError, match=r"name it in inbound\.sources"):
        pull(node, said(1, revoked=True))
    assert claims(node) == {"isac": False}


@pytest.mark.parametrize(("partner", "sources"), [("isac", ()), ("north", ("isac",))])
def test_one_partner_is_one_source(made: NodeAtWork, node: Node, partner: str, sources: tuple[str, ...]) -> None:
    """Where the agreement has its name, or names it as a source, each withdraws what the other brought."""
    agree(made, node, partner, *sources)
    pull(node, said(0))
    assert post(node, said(1, revoked=True)) is None
    assert claims(node) == {"isac": True}
    assert node.source_of("isac", node.feed("isac")).reliability == "A"
    assert not [one for one in feed_problems(node) if "account" in one]


def test_one_partner_may_post_first(made: NodeAtWork, node: Node) -> None:
    """The order does not matter to who is whose."""
    agree(made, node, "isac")
    assert post(node, said(0)) is None
    pull(node, said(1, revoked=True))
    assert claims(node) == {"isac": True}


def test_an_account_of_another_partner_is_apart(made: NodeAtWork, node: Node) -> None:
    """An account that was tied to another partner by hand is not the feed's, whatever it is called."""
    agree(made, node, "north", "isac")
    agree(made, node, "south")
    with node.store.writing() as conn:
        conn.execute("UPDATE account SET partner = 'south' WHERE name = 'isac'")
    pull(node, said(0))
    assert post(node, said(1, revoked=True)) is None
    assert claims(node) == {"isac": False, "isac (inbox)": True}


def test_a_wrong_agreement_stops_no_feed(node: Node) -> None:
    """Agreements are read for a feed only where somebody has posted under its name."""
    (node.directory / "agreements" / "x.toml").write_text("what")
    pull(node, said(0))
