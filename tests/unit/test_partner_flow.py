"""What a check-in is about: shared, received, confirmed, disputed, withdrawn, owed; and the register."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from builders import (
    DAY,
    NOW,
    SECOND,
    domain,
    feed_source,
    find,
    indicator_uuid,
    ip,
    make_indicator,
    make_indicator_json,
    take_in,
    with_terms,
)
from partner_builders import DESK, Exchange, agreed, said, with_feedback
from threatshare.model import moment
from threatshare.partners.checkin import period
from threatshare.partners.ground import to_see_to
from threatshare.partners.register import register
from threatshare.policy.agreements import Checkin as Rhythm
from threatshare.policy.agreements import Outbound
from threatshare.report.checkin import FEWEST, Said, handover, internal
from threatshare.report.sheet import markdown
from threatshare.store.embedded import Store
from threatshare.store.partners import Checkin, Verification, record_checkin, record_verification

TODAY = moment(NOW).date()


def held(store: Store, partner: str = "north", at: int = NOW, ends: int | None = None, note: str = "") -> Checkin:
    """Records a check-in."""
    one = Checkin(partner, 0, at if ends is None else ends, at, "duty analyst", note)
    with store.writing() as conn:
        record_checkin(conn, one)
    return one


def reach(store: Store, on: date, channel: str = DESK.channel) -> None:
    """Records that the watch desk was reached."""
    with store.writing() as conn:
        record_verification(conn, "north", Verification(DESK.role, DESK.name, channel, on, "analyst", "", NOW))


def test_shared_is_counted_by_kind_and_band(store: Store) -> None:
    """What is new in the partner's collection is counted once, by what it is about; a further version as that."""
    both = Exchange(store)
    find(store, ip("45.66.77.1"), domain("a.badhost.biz"), techniques=("T1566.002",))
    both.publish()
    find(store, ip("45.66.77.1"), now=NOW + DAY, seen=NOW)
    both.publish(NOW + DAY)
    shared = both.digest(end=NOW + 2 * DAY).shared
    assert (shared.new, shared.changed, shared.withdrawn) == (2, 1, 0)
    assert shared.kinds == {"ipv4-addr": 1, "domain-name": 1}
    assert shared.bands == {"high": 2}
    assert shared.techniques == {"T1566.002": 2}


def test_a_period_counts_what_lies_in_it(store: Store) -> None:
    """What was shared before the period or after it is not counted, nor what came then."""
    both = Exchange(store)
    for day, value in enumerate(("45.66.77.1", "45.66.77.2", "45.66.77.3")):
        find(store, ip(value), now=NOW + day * DAY)
        both.publish(NOW + day * DAY)
        both.receive("north", make_indicator(day, ip(f"45.66.78.{day}")), now=NOW + day * DAY)
    told = both.digest(begin=NOW + DAY, end=NOW + 2 * DAY)
    assert (told.shared.new, told.received.new) == (1, 1)
    assert (both.digest(end=NOW + 9 * DAY).shared.new, both.digest(end=NOW + 9 * DAY).received.new) == (3, 3)


def test_withdrawals_tell_their_rules_to_ourselves_only(store: Store) -> None:
    """The ledger's rules are on the internal page; the partner learns the kind of reason."""
    both = Exchange(store)
    find(store, ip("45.66.77.1"))
    both.publish()
    both.agreements["north"] = with_terms(both.agreements["north"], outbound=Outbound("clear"))
    both.publish(NOW + SECOND)
    told = both.digest()
    assert (told.shared.withdrawn, told.shared.causes["marking-ceiling"]) == (1, 1)
    assert "marking-ceiling" in markdown(internal(told))
    assert "1 by marking" in markdown(handover(told))
    for hidden in ("marking-ceiling", "own-asset"):
        assert hidden not in markdown(handover(told))


def test_an_own_asset_is_withdrawn_without_saying_so(store: Store) -> None:
    """A value that was taken back since it is ours counts on the partner's page among other reasons."""
    from threatshare.config import OwnAssets

    both = Exchange(store)
    find(store, domain("a.badhost.biz"))
    both.publish()
    both.publish(NOW + SECOND, own=OwnAssets(domains=("badhost.biz",)))
    told = both.digest()
    assert told.shared.causes["own-asset"] == 1
    assert "withdrawn: 1 (1 for other reasons)" in markdown(handover(told))
    assert "own" not in markdown(handover(told)).lower().replace("known", "").replace("own desk", "")


def test_received_is_counted_by_what_became_of_it(store: Store) -> None:
    """New, changed and revoked objects are told apart, and what was not taken is counted by reason."""
    both = Exchange(store)
    both.receive("north", make_indicator(1, ip("45.66.77.1")), make_indicator(2, domain("a.badhost.biz")))
    both.receive("north", make_indicator(1, ip("45.66.77.1"), modified=NOW), now=NOW + SECOND)
    both.receive("north", make_indicator(2, domain("a.badhost.biz"), modified=NOW, revoked=True), now=NOW + SECOND)
    (reason,) = both.receive("north", make_indicator(3, "[nonsense"))
    told = both.digest().received
    assert (told.new, told.changed, told.revoked) == (2, 1, 1)
    assert told.kinds == {"ipv4-addr": 1, "domain-name": 1}
    assert told.rejected == {reason.partition(": ")[2]: 1}


def test_another_partners_intelligence_is_not_counted(store: Store) -> None:
    """What south sent is no part of north's page, though both sent the same object."""
    both = Exchange(store, agreed(), agreed("south"))
    both.receive("south", make_indicator(1, ip("45.66.77.1")), make_indicator(2, ip("45.66.77.2")))
    both.receive("north", make_indicator(1, ip("45.66.77.1")))
    assert both.digest("north").received.new == 1
    assert both.digest("south").received.new == 2


def test_our_sightings_of_theirs_are_confirmed_once_they_were_told(store: Store) -> None:
    """A sighting that went to the partner is on its page; one that did not is on ours, and owed where agreed."""
    both = Exchange(store, with_feedback(agreed(), sightings_back=True))
    both.receive("north", make_indicator(1, ip("45.66.77.1")))
    both.hit(ip("45.66.77.1"), now=NOW + SECOND)
    told = both.digest()
    assert (told.answers.seen_by_us, told.answers.seen_untold) == ([], [indicator_uuid(1)])
    assert "1 sightings of north's indicators not sent yet" in markdown(handover(told))
    both.publish(NOW + 2 * SECOND)
    told = both.digest()
    assert (told.answers.seen_by_us, told.answers.seen_untold) == ([indicator_uuid(1)], [])


def test_an_untold_sighting_is_not_told_by_the_page(store: Store) -> None:
    """Where sightings back are not agreed on, the partner's page says nothing of one that was not sent."""
    both = Exchange(store)
    both.receive("north", make_indicator(1, ip("45.66.77.1")))
    both.hit(ip("45.66.77.1"), now=NOW + SECOND)
    told = both.digest()
    assert indicator_uuid(1) not in markdown(handover(told))
    assert indicator_uuid(1) in markdown(internal(told))


def test_their_sightings_of_ours_count_where_they_were_sent_it(store: Store) -> None:
    """A partner's sighting counts for an indicator that it was sent, and not for one that it cannot know."""
    both = Exchange(store)
    find(store, ip("45.66.77.1"))
    both.publish()
    (ours,) = both.served_ids("north")
    both.receive("north", said("sighting", 1, [ours]), said("sighting", 2, [indicator_uuid(77)]))
    assert both.digest().answers.seen_by_them == [ours]


def test_disputes_are_counted_both_ways(store: Store) -> None:
    """Opinions on the other's indicators are told apart by who says so; agreement is no dispute."""
    both = Exchange(store)
    find(store, ip("45.66.77.1"), ip("45.66.77.2"))
    both.publish()
    first, second = both.served_ids("north")
    both.receive(
        "north",
        said("opinion", 1, [first], opinion="strongly-disagree"),
        said("opinion", 2, [second], opinion="agree"),
        said("opinion", 3, [indicator_uuid(77)], opinion="disagree"),
    )
    told = both.digest()
    assert sorted(told.answers.by_them, key=lambda one: one.opinion) == [
        Said(second, "agree"),
        Said(first, "strongly-disagree"),
    ]
    page = markdown(handover(told))
    assert f"Our Company's, disputed by north: 1: {first}" in page
    assert "Our Company's, other opinions by north: 1" in page


def test_an_opinion_taken_back_is_no_dispute(store: Store) -> None:
    """Of an opinion the latest version counts: one that was revoked disputes nothing and is owed no answer."""
    both = Exchange(store)
    find(store, ip("45.66.77.1"))
    both.publish()
    (ours,) = both.served_ids("north")
    both.receive("north", said("opinion", 1, [ours], opinion="disagree"), now=NOW + SECOND)
    assert len(both.digest().unanswered) == 1
    back = said("opinion", 1, [ours], opinion="disagree", modified=NOW, revoked=True)
    both.receive("north", back, now=NOW + 2 * SECOND)
    assert (both.digest().answers.by_them, both.digest().unanswered) == ([], ())


def test_a_dispute_waits_until_the_object_changes(store: Store) -> None:
    """An answer is owed until the indicator was withdrawn or issued anew; when it was due, the agreement says."""
    both = Exchange(store, with_feedback(agreed(), fp_sla_hours=24))
    find(store, ip("45.66.77.1"))
    both.publish()
    (ours,) = both.served_ids("north")
    both.receive("north", said("opinion", 1, [ours], opinion="disagree"), now=NOW + SECOND)
    (waiting,) = both.digest().unanswered
    assert (waiting.object_id, waiting.due) == (ours, moment(NOW + SECOND + DAY))
    (entry,) = register(store, both.agreements, TODAY, NOW + 2 * DAY)
    assert (entry.owed.false_positives, entry.owed.overdue) == (1, 1)
    both.agreements["north"] = with_terms(both.agreements["north"], outbound=Outbound("clear"))
    both.publish(NOW + 2 * SECOND)
    assert both.digest().unanswered == ()


def test_a_check_in_answers_what_was_disputed_before_it(store: Store) -> None:
    """What was talked over at a check-in is owed no longer, though the object stands."""
    both = Exchange(store)
    find(store, ip("45.66.77.1"))
    both.publish()
    (ours,) = both.served_ids("north")
    both.receive("north", said("opinion", 1, [ours], opinion="disagree"), now=NOW + SECOND)
    held(store, at=NOW + 2 * SECOND)
    assert both.digest().unanswered == ()


def test_who_was_first_and_who_else_said_so(store: Store) -> None:
    """New values are compared with what others told us: who was first, by how much, and who is alone."""
    both = Exchange(store, agreed(), agreed("south"))
    both.receive("south", make_indicator(1, ip("45.66.77.1")), now=NOW)
    both.receive(
        "north",
        *(make_indicator(number, ip(f"45.66.77.{number}")) for number in (1, 2, 3)),
        now=NOW + 2 * DAY,
    )
    both.receive("south", make_indicator(2, ip("45.66.77.2")), now=NOW + 3 * DAY)
    told = both.digest("north", end=NOW + 9 * DAY).received
    assert (told.values, told.first, told.unique) == (3, 2, 1)
    assert (told.ahead_days, told.behind_days) == (1.0, 2.0)


def test_few_values_are_not_compared_on_the_partners_page(store: Store) -> None:
    """A partner that sends one value does not learn from the page whether we knew it; of many it learns the share."""
    both = Exchange(store, agreed(), agreed("south"))
    both.receive("south", make_indicator(1, ip("45.66.77.1")))
    both.receive("north", make_indicator(1, ip("45.66.77.1")), now=NOW + SECOND)
    assert "told to us by nobody else" not in markdown(handover(both.digest()))
    assert "told to us by nobody else" in markdown(internal(both.digest()))
    both.receive("north", *(make_indicator(one, ip(f"45.66.78.{one}")) for one in range(2, FEWEST + 1)))
    assert f"told to us by nobody else: {FEWEST - 1} of {FEWEST}" in markdown(handover(both.digest()))


@pytest.mark.parametrize("hiding", [{"attribution": "must-not"}, {"consent": "ais-consent-none"}])
def test_whoever_must_not_be_named_is_not(store: Store, hiding: dict[str, Any]) -> None:
    """Where the agreement forbids naming us in either way, neither our name nor our addresses are on the page."""
    both = Exchange(store, agreed(outbound=Outbound("green", anonymise_as="a member", **hiding)))
    page = markdown(handover(both.digest()))
    assert "a member" in page
    assert "Our Company" not in page
    assert "our-company" not in page


def test_the_next_period_begins_where_the_last_ended() -> None:
    """A digest is about all since the last check-in, else since the agreement's first day, and never the future."""
    one = agreed()
    last = Checkin("north", 0, NOW - DAY, NOW, "analyst", "")
    assert period(one, last, None, None, NOW) == range(NOW - DAY, NOW)
    assert moment(period(one, None, None, None, NOW).start).date() == one.effective_from
    days = period(one, last, date(2026, 2, 1), date(2026, 2, 28), NOW)
    assert (moment(days.start).isoformat(), moment(days.stop).isoformat()) == (
        "2026-02-01T00:00:00+00:00",
        "2026-03-01T00:00:00+00:00",
    )
    assert period(one, None, None, date(2027, 1, 1), NOW).stop == NOW


def test_the_later_day_of_paper_and_store_counts(store: Store) -> None:
    """A contact is verified from the later of what the file says and what was recorded; another number is not."""
    one = agreed()
    assert any("never verified" in text for text in to_see_to(store.conn, one, TODAY))
    reach(store, TODAY, channel="+1 555 9999")
    assert any("never verified" in text for text in to_see_to(store.conn, one, TODAY))
    reach(store, TODAY)
    assert to_see_to(store.conn, one, TODAY) == []
    reach(store, date(2025, 1, 1))
    (entry,) = register(store, {"north": one}, TODAY, NOW)
    assert (entry.contacts[0].verified_on, entry.overdue) == (TODAY, 0)


def test_a_check_in_that_is_due_is_said(store: Store) -> None:
    """A partner with an agreed rhythm is warned of a week ahead and after; recording one ends the warning."""
    one = agreed(contacts=(), checkin=Rhythm(every_days=30))
    assert to_see_to(store.conn, one, date(2026, 1, 20)) == []
    assert "is due on 2026-01-31, in 3 days" in to_see_to(store.conn, one, date(2026, 1, 28))[0]
    assert "was due on 2026-01-31, none was ever recorded" in to_see_to(store.conn, one, TODAY)[0]
    held(store, note="a note for the next time")
    assert to_see_to(store.conn, one, TODAY) == []
    told = Exchange(store, one).digest()
    assert "a note for the next time" in markdown(internal(told))
    assert "a note for the next time" not in markdown(handover(told))


def test_the_register_counts_in_and_out(store: Store) -> None:
    """An entry says what a partner claims, how much of it is its alone or wrong, and what went to it."""
    capped = {ip("45.66.77.3"): "known-benign"}
    store._cap_of = capped.get
    both = Exchange(store, agreed(), agreed("south"))
    both.receive("north", *(make_indicator(one, ip(f"45.66.77.{one}")) for one in (1, 2, 3)))
    both.receive("south", make_indicator(1, ip("45.66.77.1")))
    take_in(store, feed_source(store, "nobody"), make_indicator_json(2, ip("45.66.77.2")))
    find(store, domain("a.badhost.biz"))
    both.publish()
    north, south = register(store, both.agreements, TODAY, NOW)
    assert north.traffic.claims == 3
    assert north.traffic.unique_share == pytest.approx(1 / 3)
    assert north.traffic.false_positive_share == pytest.approx(1 / 3)
    assert (north.traffic.released, north.traffic.withdrawn, north.traffic.held) == (1, 0, 0)
    assert (south.traffic.claims, south.traffic.unique_share) == (1, 0.0)
    assert north.in_force_until == date(2026, 12, 31)


def test_a_partner_without_an_agreement_is_shown(store: Store) -> None:
    """A collection for somebody with whom nothing is agreed is in the register, with why nothing leaves."""
    Exchange(store)
    (entry,) = register(store, {}, TODAY, NOW)
    assert entry.partner == "north"
    assert "there is no agreement" in entry.problems[0]
