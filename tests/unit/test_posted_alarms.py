"""A partner that names what is ours through an inbox raises an alarm, as a feed does."""

from __future__ import annotations

from pathlib import Path

from builders import NOW, ip, make_indicator_json
from clocks import FixedClock
from nodes import make_node
from threatshare.model import Account, CollectionKind
from threatshare.node import build_node
from threatshare.stix.received import read_object
from threatshare.store.accounts import add_account
from threatshare.store.collections import add_collection, collections

OURS = "198.51.100.200"


def test_an_account_that_names_our_own_raises_an_alarm(tmp_path: Path) -> None:
    """`status` names the account, `feed history` says what of ours it named, and `feed acknowledge` closes it."""
    made = make_node(tmp_path / "node")
    made.directory.joinpath("own-assets.toml").write_text(f'networks = ["{OURS}/32"]\n')
    node = build_node(made.directory, FixedClock())
    with node.store.writing() as conn:
        add_collection(conn, "inbox", "Inbox", CollectionKind.INBOX, None, NOW)
        add_account(conn, "north", [], ["inbox"], NOW)
    (inbox,) = [one for one in collections(node.store.conn) if one.alias == "inbox"]
    raw = make_indicator_json(1, ip(OURS))
    account = Account("north", frozenset(), frozenset({"inbox"}))
    assert node.accept(inbox, account, [(raw, read_object(raw))], NOW) == [None]
    node.close()
    (alarm,) = made.row("status")["alarms"]
    assert (alarm["of"], alarm["feed"], alarm["kind"]) == ("account", "north", "own")
    (told,) = made.row("feed", "history", "north")["alarms"]
    assert told["values"] == [f"ipv4-addr: {OURS}"]
    assert made.row("feed", "acknowledge", "north", "--reason", "they mistyped", "--by", "soc")["acknowledged"] == 1
    assert made.row("status")["alarms"] == []
