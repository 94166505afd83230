"""In an exchange nobody speaks in another's name, and no refusal tells what somebody may not know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from taxii_node import TaxiiNode, indicator, stix_id
from threatshare.model import Account, CollectionKind, Kind, Observable
from threatshare.share.exchange import FOREIGN, NOT_YOURS, ExchangeTerms
from threatshare.stix.objects import indicator_id
from threatshare.store.runs import rejects

US = "identity--11111111-1111-4111-8111-111111111111"
RELAYED = stix_id(77, "identity")
VALUE = "198.51.100.9"
PATTERN = f"[ipv4-addr:value = '{VALUE}']"
OURS = indicator_id(US, Observable(Kind.IPV4, VALUE))


def agreed(account: Account, _readers: Sequence[str]) -> ExchangeTerms:
    """North's agreement names another identity as its own; east is not told who we are."""
    return ExchangeTerms(
        identity=None if account.name.endswith("east") else US,
        relays=frozenset({RELAYED, "north-feed"}) if account.name == "north" else frozenset(),
    )


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path, agreed=agreed) as made:
        made.collection("hub", CollectionKind.EXCHANGE)
        for name in ("north", "south", "east"):
            made.account(name, read=["hub"], write=["hub"])
        yield made


def identity(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": stix_id(number, "identity"),
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "name": "somebody",
        **more,
    }


def outcomes(node: TaxiiNode, account: str, *objects: dict[str, Any]) -> list[str | None]:
    """Posts objects; gives for each why it was not taken."""
    status = node.request("POST", "/api/collections/hub/objects/", account, body={"objects": list(objects)}).json
    failures = {one["id"]: one["message"] for one in status.get("failures", [])}
    return [failures.get(one["id"]) for one in objects]


def by(maker: str, number: int, **more: Any) -> dict[str, Any]:
    return indicator(number, created_by_ref=maker, **more)


def test_nobody_posts_in_the_name_of_another_member(node: TaxiiNode) -> None:
    """What names an identity that another member posted, or ours, is refused alone, with the reason; one's own goes."""
    north, south = identity(1), identity(2)
    assert outcomes(node, "north", north, by(north["id"], 10)) == [None, None]
    told = outcomes(node, "south", south, by(south["id"], 20), by(north["id"], 21), by(US, 22), indicator(23))
    assert told == [None, None, NOT_YOURS, NOT_YOURS, None]
    held = {one["id"] for one in node.get("/api/collections/hub/objects/", "south").objects}
    assert held == {north["id"], south["id"]} | {stix_id(number) for number in (10, 20, 23)}


def test_an_identity_that_was_deleted_stays_its_members(node: TaxiiNode) -> None:
    """Deleting an identity gives its name to nobody else."""
    north = identity(1)
    assert outcomes(node, "north", north) == [None]
    assert node.request("DELETE", f"/api/collections/hub/objects/{north['id']}/", "north").status == 200
    assert outcomes(node, "south", by(north["id"], 21)) == [NOT_YOURS]
    assert outcomes(node, "north", by(north["id"], 10)) == [None]


def test_an_agreement_allows_relaying(node: TaxiiNode) -> None:
    """A member may post for whom its agreement names, also where another has posted that identity; nobody else may."""
    other = identity(77)
    assert other["id"] == RELAYED
    assert outcomes(node, "south", other) == [None]
    assert outcomes(node, "north", by(RELAYED, 10)) == [None]
    assert outcomes(node, "east", by(RELAYED, 11)) == [NOT_YOURS]


def test_ids_of_ours_are_refused_whether_we_have_them_or_not(node: TaxiiNode) -> None:
    """An id that follows from our identity and the pattern is ours, held or not; so is what a member can read of us."""
    forged = indicator(1, id=OURS, pattern=PATTERN)
    assert outcomes(node, "south", forged) == [FOREIGN]
    node.collection("feed")
    node.publish("feed", indicator(5))
    assert outcomes(node, "south", indicator(5)) == [None], "an id that it cannot see tells it nothing"
    node.publish("feed", indicator(6))
    node.account("west", read=["hub", "feed"], write=["hub"])
    assert outcomes(node, "west", indicator(6)) == [FOREIGN]
    assert outcomes(node, "west", identity(9, id=US)) == [FOREIGN]


def test_no_refusal_tells_who_we_are(node: TaxiiNode) -> None:
    """One that is not told who we are is answered alike for our identity and for any that nobody knows, whatever it
    tries; what it brings an identity for is taken."""
    anybody = stix_id(99, "identity")
    assert outcomes(node, "east", by(US, 10), by(anybody, 11)) == [NOT_YOURS, NOT_YOURS]
    follows = indicator(1, id=OURS, pattern=PATTERN)
    other = indicator_id(anybody, Observable(Kind.IPV4, VALUE))
    assert outcomes(node, "east", follows, indicator(2, id=other, pattern=PATTERN)) == [None, None]
    assert outcomes(node, "east", identity(99), by(anybody, 12)) == [None, None]


def test_who_we_are_for_one_member_is_refused_too(node: TaxiiNode) -> None:
    """The identity under which such a member reads what we share with it is ours: brought along it is refused."""
    node.collection("to-east")
    face = identity(55)
    node.publish("to-east", face)
    node.account("far-east", read=["hub", "to-east"], write=["hub"])
    told = outcomes(node, "far-east", face, by(face["id"], 12))
    assert told == [FOREIGN, NOT_YOURS]


def test_a_pattern_that_breaks_the_grammar_is_refused(node: TaxiiNode) -> None:
    """A broken STIX pattern fails alone; a pattern of another language, and of STIX 2.0, is not asked."""
    broken = indicator(1, pattern="[ipv4-addr:value = ")
    sigma = indicator(2, pattern="title: x", pattern_type="sigma")
    older = {name: said for name, said in indicator(3).items() if name not in ("spec_version", "pattern_type")}
    said, *fine = outcomes(node, "north", broken, sigma, older)
    assert fine == [None, None]
    assert said is not None
    assert said.startswith("pattern breaks the STIX grammar")


def test_all_that_is_refused_is_kept_with_its_reason(node: TaxiiNode) -> None:
    """Whatever part of a POST was not taken can be looked at, each object once, and its id stands once."""
    without_version = indicator(2, modified="yesterday")
    broken = indicator(1, pattern="[ipv4-addr:value = ")
    outcomes(node, "north", broken, without_version, indicator(3))
    kept = {one.place: one.reason for _, origin, one, _ in rejects(node.writer, None, 10) if origin == "north"}
    assert kept.keys() == {broken["id"], without_version["id"]}
    assert not any(place in reason for place, reason in kept.items())
