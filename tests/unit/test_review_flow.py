"""What is held and what people decide about it: one decision answers many, is carried out, and is kept."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    domain,
    find,
    held_ids,
    ip,
    let_out,
    make_agreement,
    make_collection,
    make_finding,
    make_outlet,
    make_own,
    take_findings,
)
from threatshare.config import OwnAssets
from threatshare.errors import ConfigurationError, UsageError
from threatshare.model import Collection, CollectionKind, Kind, Observable, Role
from threatshare.review import (
    GROUPINGS,
    choose,
    decide_releases,
    decide_roles,
    end_standing,
    gate_groups,
    groups,
    keep_as_own,
    keep_unshared,
    select,
)
from threatshare.store.decisions import Action, ByWhom, Scope, covered_by, decisions
from threatshare.store.embedded import Store
from threatshare.store.observations import held, seen_of

AGREED = make_agreement()
BY = ByWhom("Analyst One", "the flow log shows it", NOW)
NEIGHBOUR = ip("45.66.77.99")
MENTION = Observable(Kind.URL, "http://bad.example-bad.com/login?at=company.example")


def hold(store: Store, *observables: Observable, sensor: str = "sensor") -> None:
    find(store, *observables, role=Role.UNKNOWN, sensor=sensor)


def test_groups_answer_many(store: Store) -> None:
    """Values of one sensor, kind and reason make one group, which counts them and says when they were seen."""
    hold(store, BAD, NEIGHBOUR)
    hold(store, domain("odd.com"), sensor="other")
    first, second = groups(store.conn, ("sensor", "kind", "why"), Scope())
    assert (first.values, first.events, first.scope.sensor, first.scope.kind) == (2, 2, "sensor", "ipv4-addr")
    assert (first.first, first.last) == (NOW - DAY, NOW - DAY)
    assert second.scope.sensor == "other"
    assert {one.observable for one in first.examples} == {BAD, NEIGHBOUR}


@pytest.mark.parametrize("by", [(), ("network",), GROUPINGS])
def test_any_grouping_holds_every_value_once(store: Store, by: tuple[str, ...]) -> None:
    """However they are grouped, no held value is lost or counted twice, and every group is found by its id."""
    hold(store, BAD, NEIGHBOUR, ip("9.9.8.8"), domain("odd.com"), domain("a.odd.com"))
    hold(store, BAD, sensor="other")
    found = groups(store.conn, by, Scope())
    assert sum(one.values for one in found) == 6
    for one in found:
        assert len(choose(store.conn, [one.id], Scope()).values) == one.values


def test_a_network_is_a_network_of_names_too(store: Store) -> None:
    """The names under one registrable domain and the addresses of one /24 each make one network."""
    hold(store, BAD, NEIGHBOUR, domain("a.odd.com"), domain("b.odd.com"))
    assert {one.scope.network for one in groups(store.conn, ("network",), Scope())} == {"45.66.77.0/24", "odd.com"}


def test_assigning_makes_indicators(store: Store) -> None:
    """Held values that a person calls c2 become indicators with that label, and are held no more."""
    hold(store, BAD, NEIGHBOUR)
    chosen = choose(store.conn, [], Scope(network="45.66.77.0/24"))
    report = decide_roles(store, make_own(), chosen.values, Action.ASSIGN, Role.C2, BY, chosen.scope)
    assert report.number("new") == 2
    assert list(held(store.conn)) == []
    seen = seen_of(store.conn, store.key_of, [BAD])[BAD]
    assert [one.role for one in seen] == [Role.C2]
    assert "Analyst One" in seen[0].why


def test_a_decision_is_remembered(store: Store) -> None:
    """What was rejected once is not held again when the same sensor reports it again; another sensor's report is."""
    hold(store, BAD)
    chosen = choose(store.conn, [BAD.value], Scope())
    decide_roles(store, make_own(), chosen.values, Action.REJECT, Role.THIRD_PARTY, BY, chosen.scope)
    hold(store, BAD)
    assert list(held(store.conn)) == []
    hold(store, BAD, sensor="other")
    assert [one.sensor for one in held(store.conn)] == ["other"]


def test_an_assigned_role_holds_for_what_comes_later(store: Store) -> None:
    """A value that a person called an attacker counts on as one, with its new times."""
    hold(store, BAD)
    decide_roles(store, make_own(), list(held(store.conn)), Action.ASSIGN, Role.ATTACKER, BY, Scope())
    report = take_findings(store, make_finding(BAD, role=Role.UNKNOWN, seen=NOW), now=NOW + DAY)
    assert (report.number("updated"), len(report.held)) == (1, 0)
    assert seen_of(store.conn, store.key_of, [BAD])[BAD][0].last_seen == NOW


def test_a_standing_decision_answers_what_comes(store: Store) -> None:
    """All that falls under a standing decision is decided when it comes; what does not is held."""
    hold(store, BAD)
    scope = Scope(sensor="sensor", kind="ipv4-addr")
    decide_roles(store, make_own(), select(store.conn, scope), Action.REJECT, Role.THIRD_PARTY, BY, scope, True)
    hold(store, ip("9.9.8.8"), domain("odd.com"))
    assert [one.observable for one in held(store.conn)] == [domain("odd.com")]
    assert [one.standing for one in decisions(store.conn, 9)] == [True]


def test_standing_decisions_are_narrow(store: Store) -> None:
    """Nobody can decide for ever about everything, nor make indicators of what nobody has looked at."""
    hold(store, BAD)
    selected = list(held(store.conn))
    with pytest.raises(UsageError, match="name a sensor"):
        decide_roles(store, make_own(), selected, Action.REJECT, Role.THIRD_PARTY, BY, Scope(), True)
    with pytest.raises(UsageError, match="one network"):
        decide_roles(store, make_own(), selected, Action.ASSIGN, Role.C2, BY, Scope(sensor="sensor"), True)
    assert decisions(store.conn, 9) == []


def test_decisions_keep_name_time_and_reason(store: Store) -> None:
    """Each decision says who, when, why, what about, and how much it covered."""
    hold(store, BAD, NEIGHBOUR)
    scope = Scope(sensor="sensor")
    decide_roles(store, make_own(), select(store.conn, scope), Action.ASSIGN, Role.C2, BY, scope)
    (one,) = decisions(store.conn, 9)
    assert (one.by, one.action, one.role, one.scope, one.covered) == (BY, Action.ASSIGN, Role.C2, scope, 2)


def test_what_is_not_held_is_not_decided(store: Store) -> None:
    """A name that means nothing that is held is refused, and so is a decision about everything without saying so."""
    hold(store, BAD)
    for names in (["9.9.8.8"], ["deadbeef"], ["indicator--00000000-0000-4000-8000-000000000001"], ["no value"]):
        with pytest.raises(UsageError):
            choose(store.conn, names, Scope())
    with pytest.raises(UsageError, match="narrow by"):
        choose(store.conn, [], Scope())


def test_own_assets_keep_their_comments(tmp_path: Path, store: Store) -> None:
    """Values that turn out to be ours are added to own-assets.toml, with who said so, and nothing else changes."""
    file = tmp_path / "own-assets.toml"
    file.write_text('# ours\nnetworks = ["192.0.2.0/24"]  # the office\n', "utf-8")
    node = (
        '[node]\nname = "C"\nsector = "energy"\ncountry = "DE"\nadministrative_area = "DE-BE"\n'
        f'identity = "{make_own().identity}"\ncreated = "2026-01-01T00:00:00Z"\n'
    )
    (tmp_path / "node.toml").write_text(node, "utf-8")
    url = Observable(Kind.URL, "http://portal.odd.com/x")
    hold(store, BAD, url)
    keep_as_own(tmp_path, [one.observable for one in held(store.conn)], BY)
    text = file.read_text("utf-8")
    assert "# the office" in text
    assert "Analyst One" in text
    assert tomllib.loads(text) == {"networks": ["192.0.2.0/24", BAD.value], "domains": ["portal.odd.com"]}
    keep_as_own(tmp_path, [], BY, "45.66.77.0/24")
    assert tomllib.loads(file.read_text("utf-8"))["networks"][-1] == "45.66.77.0/24"
    with pytest.raises(UsageError, match="by hand"):
        keep_as_own(tmp_path, [Observable(Kind.EMAIL, "a@b.com")], BY)


def test_never_share_is_a_file(tmp_path: Path, store: Store) -> None:
    """Values that must never leave stand in never-share.toml afterwards, each once."""
    hold(store, BAD)
    for _ in range(2):
        keep_unshared(tmp_path, [one.observable for one in held(store.conn)], BY)
    assert tomllib.loads((tmp_path / "never-share.toml").read_text("utf-8")) == {"values": [BAD.value]}


@pytest.mark.parametrize("reason", ["x\x01y", 'a"b', "a\nb = 1", "]", "\ud800"])
def test_what_a_person_types_breaks_no_file(tmp_path: Path, reason: str) -> None:
    """Whatever stands in a reason, the file is valid TOML afterwards, or it is as it was."""
    file = tmp_path / "never-share.toml"
    file.write_text('values = ["198.51.100.1"]\n', "utf-8")
    try:
        keep_unshared(tmp_path, [BAD], replace(BY, reason=reason))
    except ConfigurationError:
        assert file.read_text("utf-8") == 'values = ["198.51.100.1"]\n'
    else:
        assert tomllib.loads(file.read_text("utf-8"))["values"] == ["198.51.100.1", BAD.value]


def test_values_that_are_not_held_can_be_named(store: Store) -> None:
    """What already left can be declared ours or unshared: it is meant although nothing holds it."""
    with pytest.raises(UsageError, match="nothing that is held"):
        choose(store.conn, ["9.9.8.8"], Scope())
    assert choose(store.conn, ["9.9.8.8"], Scope(), unheld=True).observables == [ip("9.9.8.8")]


def test_a_group_is_narrowed_by_what_is_asked_besides(store: Store) -> None:
    """A group named together with a network stands for both: a standing decision on it is no wider than either."""
    hold(store, BAD, ip("9.9.8.8"))
    (group,) = groups(store.conn, ("sensor", "why"), Scope())
    chosen = choose(store.conn, [group.id], Scope(network="9.9.8.0/24"))
    assert [one.observable for one in chosen.values] == [ip("9.9.8.8")]
    assert chosen.scope == Scope("sensor", "9.9.8.0/24", None, group.scope.why)


def test_a_standing_decision_can_be_ended(store: Store) -> None:
    """Ended, it decides nothing more; who ended it is kept, and what it had decided stays."""
    hold(store, BAD)
    scope = Scope(sensor="sensor")
    decide_roles(store, make_own(), select(store.conn, scope), Action.REJECT, Role.THIRD_PARTY, BY, scope, True)
    (standing,) = decisions(store.conn, 9, standing_only=True)
    end_standing(store, standing.number, BY)
    hold(store, BAD, ip("9.9.8.8"))
    assert [one.observable for one in held(store.conn)] == [ip("9.9.8.8")]
    assert [one.action for one in decisions(store.conn, 9)] == [Action.END, Action.REJECT]
    with pytest.raises(UsageError, match="does not stand"):
        end_standing(store, standing.number, BY)


def test_decisions_say_what_about(store: Store) -> None:
    """A decision names the values that it covers."""
    hold(store, BAD, NEIGHBOUR)
    decide_roles(store, make_own(), list(held(store.conn)), Action.ASSIGN, Role.C2, BY, Scope())
    (made,) = decisions(store.conn, 9)
    assert set(covered_by(store.conn, made.number, 9)) == {BAD.value, NEIGHBOUR.value}
    assert len(covered_by(store.conn, made.number, 1)) == 1


# --- what the gate holds ----------------------------------------------------------------------------


@pytest.fixture
def north(store: Store) -> Collection:
    return make_collection(store, CollectionKind.PARTNER, "to-north", "north")


def release(store: Store, north: Collection) -> None:
    let_out(store, make_outlet(north, AGREED, own=OwnAssets(domains=("company.example",))))


def test_an_approval_lets_out(store: Store, north: Collection) -> None:
    """What a rule holds is listed by rule, and goes out once a person has approved it, with the name in its reasons."""
    find(store, MENTION, role=Role.PAYLOAD)
    release(store, north)
    (group,) = gate_groups(store.conn)
    assert (group.alias, len(group.objects)) == ("to-north", 1)
    assert decide_releases(store, group, group.objects, Action.APPROVE, BY) == 1
    release(store, north)
    assert held_ids(store, north)
    assert gate_groups(store.conn) == []


def test_a_rejection_keeps_in(store: Store, north: Collection) -> None:
    """What a person rejects is held no more, does not go out, and is withdrawn where it had."""
    find(store, MENTION, role=Role.PAYLOAD)
    release(store, north)
    (group,) = gate_groups(store.conn)
    decide_releases(store, group, group.objects, Action.APPROVE, BY)
    release(store, north)
    decide_releases(store, group, group.objects, Action.REJECT, BY)
    release(store, north)
    assert gate_groups(store.conn) == []
    assert held_ids(store, north) == set()


def test_an_approval_is_for_one_collection(store: Store, north: Collection) -> None:
    """Approved for one partner is not approved for another."""
    south = make_collection(store, CollectionKind.PARTNER, "to-south", "south")
    find(store, MENTION, role=Role.PAYLOAD)
    release(store, north)
    release(store, replace(south, partner="north"))
    group = next(one for one in gate_groups(store.conn) if one.alias == "to-north")
    decide_releases(store, group, group.objects, Action.APPROVE, BY)
    release(store, north)
    release(store, replace(south, partner="north"))
    assert [one.alias for one in gate_groups(store.conn)] == ["to-south"]


def test_what_left_can_be_taken_back_and_let_out_again(store: Store, north: Collection) -> None:
    """A released object is named by its id: rejected, it is withdrawn; approved after that, it goes out again."""
    find(store, BAD)
    release(store, north)
    (one,) = held_ids(store, north)
    for action, stands in ((Action.REJECT, False), (Action.APPROVE, True)):
        ((group, ids),) = choose(store.conn, [one], Scope()).objects
        decide_releases(store, group, ids, action, BY)
        release(store, north)
        assert bool(held_ids(store, north)) is stands
