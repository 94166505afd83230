"""Whatever our sensors find, nothing leads to us that a partner gets who is not told who we are."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Callable
from datetime import date
from pathlib import Path
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders import (
    DAY,
    NOW,
    SECOND,
    US,
    feed_source,
    find,
    held_ids,
    let_out,
    make_collection,
    make_indicator_json,
    make_store,
    served,
    take_in,
    with_terms,
)
from disguise_builders import NODE, OWN, node_outlet, profiled, received
from threatshare.model import CollectionKind, Kind, Observable, Role, Tlp
from threatshare.policy.agreements import Agreement, Inbound
from threatshare.policy.disguise import disguise_for
from threatshare.stix.objects import indicator_id, reborn_id, siem_indicator_id, sighting_id
from threatshare.stix.observables import recognise

HIDDEN = with_terms(profiled("ais", "ais-consent-none"), inbound=Inbound(sources=("feed-a",)))
MUST_NOT = with_terms(profiled(None, None, attribution="must-not"), inbound=Inbound(sources=("feed-a",)))
ENDED = date(2026, 2, 28)
TELLING = [*OWN.domains, *OWN.mail_domains, NODE.name, NODE.name.upper(), US]

hosts = st.sampled_from(["evil.biz", "login.badhost.biz", "45.77.66.5"])
words = st.text("abcxyz019", min_size=1, max_size=8)
told = st.sampled_from(TELLING)
ways: list[Callable[[str], str]] = [
    str,
    quote,
    lambda text: b64encode(text.encode()).decode(),
    lambda text: quote(quote(text)),
]
hidden = st.sampled_from(ways)


@st.composite
def values(draw: st.DrawFn) -> Observable:
    """A value of somebody else's, with something of ours in it where chance wills."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return Observable(Kind.IPV4, f"45.77.{draw(st.integers(0, 200))}.{draw(st.integers(1, 250))}")
    if kind == 1:
        return Observable(Kind.SHA256, draw(st.text("0123456789abcdef", min_size=64, max_size=64)))
    if kind == 2:
        within = draw(st.sampled_from(["", *OWN.domains, "ourcompany"]))
        return Observable(Kind.DOMAIN, ".".join(filter(None, [within, draw(words), draw(hosts.filter(str.islower))])))
    said = draw(hidden)(draw(told)) if kind == 3 else draw(words)
    return recognise(f"http://{draw(hosts)}/{draw(words)}?{draw(words)}={said}")


steps = st.lists(st.sampled_from(["find", "again", "end", "sight", "day"]), min_size=1, max_size=8)


def public_ids(found: list[Observable], sighted: list[str]) -> set[str]:
    """Every id by which anybody may know an object of ours."""
    ids = {make(US, one) for one in found for make in (indicator_id, siem_indicator_id)}
    ids |= {sighting_id(US, one) for one in sighted}
    return ids | {reborn_id(one, life) for one in ids for life in range(2, 6)}


@given(
    st.lists(values(), min_size=1, max_size=6, unique=True), steps, st.sampled_from([HIDDEN, MUST_NOT]), st.booleans()
)
@example([Observable(Kind.DOMAIN, "our-company.de.evil.biz")], ["sight", "end", "find"], MUST_NOT, True)
@settings(max_examples=25)
def test_no_byte_leads_to_us(found: list[Observable], happens: list[str], terms: Agreement, all_at_once: bool) -> None:
    """No body that was ever served bears our id, our name, an id of an object of ours, or a domain of ours.

    All bodies are of one maker, and what the partner holds keeps to its profile.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder))
        try:
            cisa = make_collection(store, CollectionKind.PARTNER, "to-cisa", "cisa")
            now, outlet = NOW, node_outlet(cisa, terms)
            sighted: list[str] = []
            for step in ["find", *happens]:
                now += DAY if step == "day" else SECOND
                if step == "sight":
                    theirs = make_indicator_json(len(sighted) + 1, found[0], tlp=Tlp.GREEN)
                    ours = indicator_id(US, found[0])
                    echo = make_indicator_json(9, found[0], tlp=Tlp.GREEN, id=ours)
                    take_in(store, feed_source(store), theirs, echo, now=now)
                    sighted += [f"indicator--00000000-0000-4000-8000-{len(sighted) + 1:012d}", ours]
                    find(store, found[0], role=Role.KNOWN_INDICATOR, now=now, seen=now - SECOND)
                else:
                    find(store, *found[: len(found) if all_at_once else 1], now=now, seen=now - SECOND)
                present = with_terms(terms, expires_on=ENDED) if step == "end" else terms
                outlet = node_outlet(cisa, present, now)
                let_out(store, outlet)
                if terms is HIDDEN and held_ids(store, cisa):
                    assert [one for one in received(store, cisa, outlet).faults if one.on_fail == "block"] == []
            bodies = store.conn.execute("SELECT body FROM entry WHERE id >> 40 = ?", (cisa.number,)).fetchall()
            text = b"\n".join(bytes(one[0]) for one in bodies).decode().lower()
            secrets = {US.rpartition("--")[2], NODE.name.lower(), *OWN.domains, *OWN.mail_domains}
            secrets |= {one.rpartition("--")[2] for one in public_ids(found, sighted)}
            assert [one for one in secrets if one in text] == []
            assert {one.body["created_by_ref"] for one in served(store, cisa)} <= {outlet.face}
        finally:
            store.close()


@given(st.binary(min_size=16, max_size=40), st.binary(min_size=16, max_size=40), st.uuids(), st.uuids())
def test_ids_follow_from_the_secret(one: bytes, other: bytes, first: object, second: object) -> None:
    """The same secret gives the same ids, another one others, and two objects of ours never become one."""
    mine, its = (disguise_for("cisa", HIDDEN.outbound, US, NODE.name, key) for key in (one, other))
    a, b = f"indicator--{first}", f"indicator--{second}"
    assert mine.object_id(a) == disguise_for("cisa", HIDDEN.outbound, US, NODE.name, one).object_id(a)
    assert (mine.object_id(a) == mine.object_id(b)) == (a == b)
    assert (mine.object_id(a) == its.object_id(a)) == (one == other)
    assert (mine.identity == its.identity) == (one == other)
