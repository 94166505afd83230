"""A running exercise follows its agreements: who may not take part any more loses it, and what may not stand goes."""

from __future__ import annotations

from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from builders import DAY, NOW, SECOND, US, ip, make_agreement, served
from exercise_builders import NORTH, SOUTH, US_OBJECT, Running
from threatshare import exercises
from threatshare.config import OwnAssets
from threatshare.errors import UsageError
from threatshare.policy.agreements import Agreement, Inbound, Outbound
from threatshare.policy.senders import Ties
from threatshare.report.exercise import markdown
from threatshare.share.exercise_members import Examined
from threatshare.stix.exercise import inject_id
from threatshare.store.accounts import add_account, grant, readers_of
from threatshare.store.embedded import Store
from threatshare.store.exclusions import rights_on
from threatshare.store.ledger_check import check

ONE, TWO = ip("192.0.2.1"), ip("192.0.2.2")
LATER = NOW + SECOND


@pytest.fixture
def held(store: Store) -> Running:
    """An exercise with north and south, each with an account of its name, and one shared inject."""
    made = Running(store, (NORTH, SOUTH)).start()
    with store.writing() as conn:
        for name in ("north", "south"):
            add_account(conn, name, [made.collection.alias], [made.collection.alias], NOW)
    made.inject(ONE)
    made.share(everything=True)
    return made


def look(held: Running, now: int = LATER, dry_run: bool = False) -> list[Examined]:
    """Looks at every exercise again, as a run of publishing does."""
    return exercises.examine(held.store, held.given(now), US_OBJECT, now, dry_run)


TIGHTENED: tuple[tuple[Any, str], ...] = (
    (make_agreement("south", max_tlp="clear"), "above its ceiling, clear"),
    (make_agreement("south", outbound=Outbound("green", attribution="must-not")), "hides who we are"),
    (make_agreement("south", outbound=Outbound("green", consent="ais-consent-none")), "hides who we are"),
    (make_agreement("south", expires_on=date(2026, 2, 1)), "expired"),
    (make_agreement("south", signed_on=None), "not signed"),
    (None, "there is no agreement"),
)


def with_south(agreement: Agreement | None) -> tuple[Agreement, ...]:
    """The agreements with north as ever, and with south as it is now."""
    return (NORTH,) if agreement is None else (NORTH, agreement)


@pytest.mark.parametrize(("agreement", "said"), TIGHTENED)
@pytest.mark.parametrize("by_post", [False, True])
def test_who_may_no_longer_take_part_loses_the_exercise(
    held: Running, agreement: Agreement | None, said: str, by_post: bool
) -> None:
    """With the next run of publishing, or the next post of anybody, neither right is left; the others keep theirs."""
    held.agreements = with_south(agreement)
    if by_post:
        assert held.post(held.indicator(1, TWO, LATER), now=LATER) == [None]
    else:
        assert [(one.exercise, one.excluded[0][0]) for one in look(held)] == [("winter", "south")]
    assert rights_on(held.store.conn, held.record.collection) == [("north", "read"), ("north", "write")]
    lost = held.report(LATER)["lost"][0]
    assert (lost["partner"], lost["accounts"], lost["back"]) == ("south", ["south"], None)
    assert said in lost["reason"]
    assert "south lost the exercise" in markdown(held.report(LATER))
    assert held.post(held.indicator(2, TWO, LATER), account="south", now=LATER) != [None]
    assert look(held) == []


def test_the_others_go_on_without_it(held: Running) -> None:
    """What is shared afterwards is asked of those alone that are left."""
    held.agreements = with_south(make_agreement("south", max_tlp="clear"))
    held.inject(TWO)
    assert held.share(LATER, everything=True).refused == 1
    look(held)
    assert held.share(LATER, everything=True).released == {"exercise-winter": 1}


def test_it_stays_out_until_somebody_invites_it(held: Running) -> None:
    """Neither the agreement that stands again nor a right granted by hand lets it in; an invitation gives all back."""
    held.agreements = with_south(make_agreement("south", max_tlp="clear"))
    look(held)
    facts = held.given(LATER)
    assert "above its ceiling" in exercises.invite(held.store, "winter", "south", "desk", facts, LATER)[0].text
    held.agreements = (NORTH, SOUTH)
    assert look(held) == []
    with held.store.writing() as conn:
        grant(conn, "south", [held.collection.alias])
    look(held)
    assert readers_of(held.store.conn, held.collection) == ["north"]
    assert "closed to you" in str(held.post(held.indicator(1, TWO, LATER), account="south", now=LATER)[0])
    assert exercises.invite(held.store, "winter", "south", "desk", held.given(LATER), LATER) == ()
    assert readers_of(held.store.conn, held.collection) == ["north", "south"]
    assert held.post(held.indicator(1, TWO, LATER), account="south", now=LATER) == [None]
    assert held.report(LATER)["lost"][0]["back_by"] == "desk"
    with pytest.raises(UsageError, match="has not lost"):
        exercises.invite(held.store, "winter", "north", "desk", held.given(LATER), LATER)


def test_an_account_that_is_tied_takes_part_for_its_partner(store: Store) -> None:
    """An account that was tied to a partner posts and stays in for that partner, also where another agreement is gone;
    one that is said to be two partners' has no business in an exercise of either."""
    held = Running(store, (NORTH, SOUTH), facts={"ties": Ties({"desk-7": "north"})}).start()
    with store.writing() as conn:
        add_account(conn, "desk-7", [held.collection.alias], [held.collection.alias], NOW)
    assert look(held) == []
    assert held.post(held.indicator(1, TWO, LATER), account="desk-7", now=LATER) == [None]
    held.agreements = (NORTH, make_agreement("south", inbound=Inbound(sources=("desk-7",))))
    look(held)
    assert "desk-7" not in [account for account, _ in rights_on(store.conn, held.record.collection)]
    assert "belongs to no partner" in str(held.post(held.indicator(2, TWO, LATER), account="desk-7", now=LATER)[0])


def test_an_account_under_another_name_goes_with_its_agreement(store: Store) -> None:
    """Where the agreement that named it is gone nobody knows whose it is, and it reads nothing more."""
    named = make_agreement("north", inbound=Inbound(sources=("north-taxii",)))
    held = Running(store, (named, SOUTH)).start()
    with store.writing() as conn:
        add_account(conn, "north-taxii", [held.collection.alias], [], NOW)
    assert look(held) == []
    held.agreements = (SOUTH,)
    look(held)
    assert rights_on(store.conn, held.record.collection) == []
    held.agreements = (named, SOUTH)
    assert exercises.invite(store, "winter", "north", "desk", held.given(LATER), LATER) == ()
    assert rights_on(store.conn, held.record.collection) == [("north-taxii", "read")]


def test_where_no_partner_remains_the_exercise_says_so(held: Running) -> None:
    """In the run's answer and the report; and nothing more is shared."""
    held.agreements = (make_agreement("south", max_tlp="clear"),)
    assert look(held)[0].deserted
    assert held.report(LATER)["present"] == []
    assert "No partner remains in it" in markdown(held.report(LATER))
    with pytest.raises(UsageError, match="no partner remains"):
        held.share(LATER, everything=True)
    assert held.end(LATER)["purged"] == 3


def test_what_the_gate_refuses_now_is_withdrawn(held: Running) -> None:
    """An inject that has become ours goes out revoked, on the record, once; the rest stands."""
    held.inject(TWO)
    held.share(LATER, everything=True)
    held.facts = {"own": OwnAssets((ip_network("192.0.2.1/32"),))}
    assert [(one.withdrawn, one.deserted) for one in look(held, NOW + 2 * SECOND)] == [(1, False)]
    assert look(held, NOW + 3 * SECOND) == []
    revoked = [one.body["id"] for one in served(held.store, held.collection) if one.body.get("revoked")]
    assert revoked == [inject_id(US, "winter", ONE)]
    assert check(held.store.conn).problems == []


def test_a_dry_run_shows_it_and_changes_nothing(held: Running) -> None:
    """What would be lost is told, and every right is there afterwards."""
    held.agreements = with_south(None)
    assert look(held, dry_run=True)[0].excluded[0][0] == "south"
    assert len(rights_on(held.store.conn, held.record.collection)) == 4


def test_without_an_exercise_a_look_costs_one_question(store: Store) -> None:
    """Nothing is written and no transaction is begun where none runs."""
    asked: list[str] = []
    store.conn.set_trace_callback(asked.append)
    assert exercises.examine(store, Running(store).given(NOW), US_OBJECT, NOW) == []
    store.conn.set_trace_callback(None)
    assert len(asked) == 1


def test_the_end_leaves_no_text_of_a_member_in_the_files(held: Running, tmp_path: Path) -> None:
    """Neither free pages nor the write-ahead log hold what was deleted."""
    trace = "00000000cafe"
    maker = f"identity--00000000-0000-4000-8000-{trace}"
    for start in range(0, 200, 20):
        posts = [held.indicator(number, TWO, LATER, by=maker) for number in range(start, start + 20)]
        assert held.post(*posts, now=LATER) == [None] * 20
    files = [one for one in tmp_path.iterdir() if one.is_file()]
    assert any(trace.encode() in one.read_bytes() for one in files)
    held.end(NOW + DAY)
    assert [one.name for one in files if trace.encode() in one.read_bytes()] == []
    assert held.store.conn.execute("PRAGMA secure_delete").fetchone() == (0,)
