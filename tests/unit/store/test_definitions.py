"""Definitions of markings in the store: each source's own, in any order, however many versions."""

from __future__ import annotations

from typing import Any

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    feed_source,
    identity_uuid,
    ip,
    make_indicator,
    make_indicator_json,
    take_in,
)
from marking_builders import a_statement, acs_policy, an_acs, an_iep, as_json, marking_uuid
from threatshare.model import Marking, Pap, Tlp
from threatshare.stix.marking_definitions import PAP_IDS
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP2_ID
from threatshare.store.definitions import MAX_VERSIONS, definitions
from threatshare.store.embedded import Store
from threatshare.store.lookups import claims_about, known

REF = marking_uuid()
MARKED = make_indicator_json(1, tlp=REF)


def send(store: Store, *raws: bytes, name: str = "feed-a") -> None:
    """Has a feed, whose default is GREEN, bring some objects as one batch."""
    _, rejects = take_in(store, feed_source(store, name), *raws)
    assert rejects == []


def held(store: Store) -> dict[str, Marking]:
    """Gives by source how its claim about BAD is marked."""
    numbers = [one.number for one in known(store.conn, store.key_of, [BAD]).values()]
    return {one.claim.source: one.claim.marking for some in claims_about(store.conn, numbers).values() for one in some}


STATED = Marking(Tlp.GREEN, statements=(REF,))


@pytest.mark.parametrize("batches", [[[0, 1]], [[1, 0]], [[0], [1]], [[1], [0]]])
def test_the_order_does_not_matter(store: Store, batches: list[list[int]]) -> None:
    """A definition counts whether it comes with its objects, before them or after them."""
    raws = [as_json(a_statement()), MARKED]
    for batch in batches:
        send(store, *(raws[one] for one in batch))
    assert held(store) == {"feed-a": STATED}


def test_until_it_comes_the_claim_is_unknown(store: Store) -> None:
    """A marking without definition may forbid anything, whatever else the object bears."""
    send(store, make_indicator_json(1, object_marking_refs=[REF, TLP2_ID[Tlp.CLEAR]]))
    assert held(store) == {"feed-a": Marking(None, (REF,))}
    assert store.conn.execute("SELECT tlp, flags FROM claim").fetchall() == [(9, 12)]


def test_another_sources_definition_does_not_count(store: Store) -> None:
    """Only the source that sent the object says what its marking means."""
    send(store, MARKED)
    send(store, as_json(a_statement()), name="feed-b")
    assert held(store)["feed-a"] == Marking(None, (REF,))
    send(store, MARKED, name="feed-b")
    assert held(store) == {"feed-a": Marking(None, (REF,)), "feed-b": STATED}


def test_a_body_under_an_id_of_tlp_changes_nothing(store: Store) -> None:
    """A source that defines TLP:RED as a statement has its objects RED all the same."""
    red = TLP2_ID[Tlp.RED]
    send(store, as_json(a_statement(ref=red)), make_indicator_json(1, tlp=red))
    assert held(store) == {"feed-a": Marking(Tlp.RED)}


def test_pap_stands_in_the_claim(store: Store) -> None:
    """PAP AMBER and RED are noted with the claim itself; the TLP is the source's default."""
    for at, (ref, pap) in enumerate(PAP_IDS.items()):
        send(store, make_indicator_json(1, modified=NOW - DAY + at, object_marking_refs=[ref]))
        assert held(store) == {"feed-a": Marking(Tlp.GREEN, may_block=pap < Pap.AMBER)}
    assert store.conn.execute("SELECT tlp, flags FROM claim").fetchall() == [(Tlp.GREEN, 4)]


@pytest.mark.parametrize("ref", [REF, next(ref for ref, pap in PAP_IDS.items() if pap is Pap.RED)])
@pytest.mark.parametrize("together", [True, False])
def test_how_it_may_be_used_says_nothing_of_its_truth(store: Store, ref: str, together: bool) -> None:
    """A claim that must not be acted on, or whose marking is unknown, weighs in the score like any other."""
    score = "SELECT score FROM observable"
    one, other = (make_indicator_json(n, by=identity_uuid(n), tlp=ref) for n in (1, 2))
    for number, some in enumerate([[one, other]] if together else [[one], [other]]):
        send(store, *some, name=f"feed-{number}")
    marked = store.conn.execute(score).fetchone()
    plain = [make_indicator_json(n, ip("45.1.1.1"), by=identity_uuid(n)) for n in (1, 2)]
    for number, some in enumerate([plain] if together else [plain[:1], plain[1:]]):
        send(store, *some, name=f"plain-{number}")
    assert store.conn.execute(score).fetchall() == [marked, marked]


def test_a_part_counts_for_the_whole(store: Store) -> None:
    """A marking of one property restricts the object."""
    part = [{"marking_ref": REF, "selectors": ["name"]}]
    send(
        store, as_json(an_iep(permitted_actions="none")), make_indicator_json(1, tlp=Tlp.CLEAR, granular_markings=part)
    )
    assert not held(store)["feed-a"].may_block


@pytest.mark.parametrize(
    ("told", "tlp", "rank"),
    [
        (an_iep(tlp="amber"), Tlp.GREEN, Tlp.AMBER),
        (an_iep(tlp="white"), None, Tlp.GREEN),
        (an_acs(policy_reference=acs_policy("permit", "deny")), Tlp.CLEAR, Tlp.AMBER_STRICT),
        (an_acs(controls={"classification": "S"}), Tlp.CLEAR, Tlp.RED),
    ],
)
def test_policies_restrict_the_claim(store: Store, told: dict[str, Any], tlp: Tlp | None, rank: Tlp) -> None:
    """What a policy says of TLP raises the label or the source's default, and what stays here is AMBER+STRICT."""
    refs = [REF] if tlp is None else [REF, TLP2_ID[tlp]]
    send(store, as_json(told), make_indicator_json(1, object_marking_refs=refs))
    assert held(store)["feed-a"].tlp is rank


def versions(*told: dict[str, Any]) -> list[bytes]:
    """Writes versions of a definition, each later than the one before."""
    return [as_json(one | {"modified": write_timestamp(NOW - DAY + at * 1000)}) for at, one in enumerate(told)]


def test_a_definition_cannot_be_loosened(store: Store) -> None:
    """Of several versions of a definition, in any order, the most restrictive reading of each property counts."""
    first, second = versions(an_iep(permitted_actions="none"), an_iep(tlp="amber"))
    for name, order in (("feed-a", [first, second]), ("feed-b", [second, first])):
        for one in order:
            send(store, one, name=name)
        send(store, MARKED, name=name)
        marking = held(store)[name]
        assert (marking.tlp, marking.may_block) == (Tlp.AMBER, False)


def test_a_definition_in_too_many_versions_is_unknown(store: Store) -> None:
    """A definition that is changed again and again is not followed."""
    some = versions(*([a_statement()] * (MAX_VERSIONS + 3)))
    send(store, MARKED, *some[:MAX_VERSIONS])
    assert held(store)["feed-a"] == STATED
    send(store, *some[MAX_VERSIONS:])
    assert held(store)["feed-a"].unknown == (REF,)


def test_what_is_no_definition(store: Store) -> None:
    """Only what was asked for and sent is given; fixed ids are not looked up."""
    source = feed_source(store)
    send(store, as_json(a_statement()), as_json(a_statement(ref=TLP2_ID[Tlp.RED])))
    wanted = [(source.number, REF), (source.number, marking_uuid(2)), (source.number + 1, REF)]
    found = definitions(store.conn, store.key_of, [*wanted, (source.number, TLP2_ID[Tlp.RED])])
    assert found == {(source.number, REF): Marking(None, statements=(REF,))}


def test_a_new_version_is_marked_anew(store: Store) -> None:
    """A claim is marked as the current version of its object."""
    send(store, as_json(a_statement()), MARKED)
    send(store, as_json(make_indicator(1, modified=NOW, tlp=Tlp.CLEAR)))
    assert held(store) == {"feed-a": Marking(Tlp.CLEAR)}
