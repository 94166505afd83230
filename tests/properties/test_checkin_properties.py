"""The page for a partner says nothing that the partner was not sent by us and did not send us itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders import DAY, NOW, SECOND, US, domain, find, indicator_uuid, ip, make_indicator, make_store
from partner_builders import CONTACT, Exchange, agreed, said, with_feedback
from threatshare.config import OwnAssets
from threatshare.model import Observable, Tlp
from threatshare.policy.agreements import Contact, Inbound, Outbound
from threatshare.report.checkin import handover
from threatshare.report.sheet import markdown, page
from threatshare.store.partners import Checkin, record_checkin

PARTNERS = ("north", "south")
VALUES: tuple[Observable, ...] = (
    ip("45.66.77.81"),
    ip("45.66.77.82"),
    domain("first.badhost.biz"),
    domain("second.badhost.biz"),
    domain("vpn.our-company.biz"),
)
OWN = OwnAssets(domains=("our-company.biz",))
SECRETS = (
    "counsel@south.example",
    "a note of ours",
    "Owner of ours",
    "feedback-of-nobody",
    "south-feed",
    "to-south",
    "to-north",
)
"""What stands in the store or in files and is never the partner's business."""
ID = re.compile(r"[a-z][a-z0-9-]*--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

partners, values = st.sampled_from(PARTNERS), st.sampled_from(VALUES)
numbers = st.integers(1, 4)
steps = st.one_of(
    st.tuples(st.just("find"), st.sampled_from(VALUES), st.sampled_from([Tlp.GREEN, Tlp.AMBER, Tlp.RED])),
    st.tuples(st.just("hit"), st.sampled_from(VALUES), st.none()),
    st.tuples(st.just("indicator"), partners, st.tuples(numbers, values, st.booleans())),
    st.tuples(st.just("sighting"), partners, st.tuples(numbers, st.integers(0, 9))),
    st.tuples(st.just("opinion"), partners, st.tuples(numbers, st.integers(0, 9))),
    st.tuples(st.just("bad"), partners, st.tuples(numbers, values)),
    st.tuples(st.just("publish"), st.booleans(), st.none()),
    st.tuples(st.just("checkin"), partners, st.none()),
)


@contextmanager
def exchange(back: bool, ceiling: str) -> Iterator[Exchange]:
    """A store in which north and south both send and receive."""
    with TemporaryDirectory() as folder:
        store = make_store(Path(folder))
        north = with_feedback(
            agreed(outbound=Outbound(ceiling, ("indicator", "sighting")), owner="Owner of ours"),  # type: ignore[arg-type]
            sightings_back=back,
            fp_sla_hours=1,
        )
        legal = Contact("legal", "Counsel", "counsel@south.example")
        south = agreed("south", contacts=(legal,), inbound=Inbound(sources=("south-feed",), onward_max_tlp="green"))
        try:
            yield Exchange(store, north, south)
        finally:
            store.close()


def act(both: Exchange, step: tuple[str, Any, Any], at: int) -> None:
    """Does one step; ids that a partner names are anybody's: it may have guessed them."""
    what, who, told = step
    match what:
        case "find":
            find(both.store, who, now=at, seen=at, tlp=told)
        case "hit":
            both.hit(who, now=at)
        case "indicator":
            number, value, revoked = told
            both.receive(
                who, make_indicator(_number(who, number), value, modified=at - SECOND, revoked=revoked), now=at
            )
        case "sighting" | "opinion":
            number, which = told
            more = {} if what == "sighting" else {"opinion": "strongly-disagree"}
            both.receive(who, said(what, _number(who, number), [_any_id(both, which)], at - SECOND, **more), now=at)
        case "bad":
            number, value = told
            both.receive(who, make_indicator(_number(who, number), f"[x:y = '{value.value}'", modified=at - 1), now=at)
        case "publish":
            both.publish(at, own=OWN if who else OwnAssets(declared_empty=True))
        case "checkin":
            with both.store.writing() as conn:
                record_checkin(conn, Checkin(who, 0, at, at, "duty analyst", "a note of ours"))


def _number(partner: str, number: int) -> int:
    """Gives a number of an object: half of the partners' numbers are common, as where both copy a third."""
    return number if number % 2 else number + 100 * PARTNERS.index(partner)


def _any_id(both: Exchange, which: int) -> str:
    rows = both.store.conn.execute("SELECT DISTINCT object_id FROM entry ORDER BY object_id").fetchall()
    known = [row[0] for row in rows if row[0].startswith("indicator")] + [indicator_uuid(one) for one in (1, 2, 102)]
    return str(known[which % len(known)])


def passed_between(both: Exchange, partner: str) -> str:
    """Gives all that the partner was sent by us, or sent us itself, taken or not."""
    conn, number = both.store.conn, both.collections[partner].number
    bodies = [bytes(row[0]) for row in conn.execute("SELECT body FROM entry WHERE id >> 40 = ?", (number,))]
    sent = [json.dumps(one) for one in both.given[partner]]
    return "\n".join([body.decode() for body in bodies] + sent)


@example(
    [("indicator", "south", (2, VALUES[0], False)), ("hit", VALUES[0], None), ("publish", False, None)], True, "amber"
)
@given(st.lists(steps, max_size=14), st.booleans(), st.sampled_from(["clear", "green", "amber"]))
@settings(max_examples=60)
def test_nothing_leaks(taken: list[tuple[str, Any, Any]], back: bool, ceiling: str) -> None:
    """Every id and value on the page was released to that partner or came from it; nothing else is.

    Both renderings, for the partner with feedback duties, whatever was found, sent, guessed, withdrawn before.
    """
    with exchange(back, ceiling) as both:
        for place, step in enumerate(taken):
            act(both, step, NOW + place * DAY // 4)
        made = handover(both.digest("north", end=NOW + 30 * DAY))
        known = passed_between(both, "north")
        for text in (markdown(made).replace("\\", ""), unescape(page(made))):
            assert [one for one in ID.findall(text) if one not in known] == []
            assert [one.value for one in VALUES if one.value in text and one.value not in known] == []
            assert [one for one in SECRETS if one in text] == []
            assert "south" not in text
            assert US not in text
            assert CONTACT.contact[0] in text
