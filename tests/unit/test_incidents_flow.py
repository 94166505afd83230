"""Incident reports: what can be written, what of it leaves and when, and that a report never outlives what it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from builders import (
    BAD,
    DAY,
    NOW,
    SECOND,
    US,
    check,
    domain,
    feed_source,
    find,
    ip,
    let_out,
    make_collection,
    make_finding,
    make_outlet,
    make_own,
    make_store,
    served,
    standing,
    take_findings,
    take_in,
    with_terms,
)
from gate_builders import OWN_ASSETS
from incident_builders import (
    KEY,
    TEXT,
    TYPES,
    Killed,
    Mortal,
    by,
    draft,
    held_rules,
    make_wide_agreement,
    release_text,
    revise,
    write,
)
from threatshare import feedback, incidents
from threatshare.config import OwnAssets
from threatshare.errors import UsageError
from threatshare.model import Collection, CollectionKind, Role, Tlp, Verdict
from threatshare.policy.agreements import Outbound
from threatshare.policy.never_share import NeverShare
from threatshare.stix.objects import conforms, indicator_id
from threatshare.stix.reports import ReportKind
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.embedded import Store
from threatshare.store.feedback import Told
from threatshare.store.incidents import due_incidents
from threatshare.store.releases import decisions_on

OTHER = domain("bad.badhost.biz")
AGREED = make_wide_agreement()
BOTH = (BAD.value, OTHER.value)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in which our sensors have found two values."""
    made = make_store(tmp_path)
    find(made, BAD, OTHER)
    yield made
    made.close()


@pytest.fixture
def internal(store: Store) -> Collection:
    return make_collection(store, CollectionKind.INTERNAL)


def reports(store: Store, collection: Collection) -> list[dict[str, Any]]:
    """Gives the reports that stand in a collection."""
    return [one for one in standing(store, collection).values() if one["type"] in ("report", "grouping")]


def published(store: Store, partner: Collection) -> str:
    """Writes a report on both values, has its text released, publishes; gives its id."""
    one = write(store, *BOTH)
    let_out(store, make_outlet(partner, AGREED))
    release_text(store, one.id)
    let_out(store, make_outlet(partner, AGREED, NOW + SECOND))
    return one.id


# --- writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "about"), [(ReportKind.REPORT, "threat-report"), (ReportKind.GROUPING, "unspecified")]
)
def test_a_report_is_good_stix(store: Store, internal: Collection, kind: ReportKind, about: str) -> None:
    """A report or grouping says what was asked for, names our indicators, and stix2 takes it."""
    done = write(store, *BOTH, kind=kind, about=about, techniques=["T1566.002"])
    assert (done.outcome, done.number, done.references, done.tlp) == ("new", 1, 2, Tlp.GREEN)
    let_out(store, make_outlet(internal))
    (one,) = reports(store, internal)
    assert one["id"] == done.id
    assert one["id"].startswith(f"{kind}--")
    assert (one["name"], one["description"]) == ("A wave of mails", TEXT)
    assert set(one["object_refs"]) == {indicator_id(US, BAD), indicator_id(US, OTHER)}
    assert one["labels"] == ["attacker"]
    assert conforms(json.dumps(one).encode()) is None


def test_the_id_stays_over_versions(store: Store) -> None:
    """A revision is a new version of the same object; one that says nothing new is none; others have other ids."""
    first = write(store, *BOTH)
    assert revise(store, "1", NOW + DAY).outcome == "unchanged"
    second = revise(store, first.id, NOW + DAY, title="A larger wave of mails")
    assert (second.id, second.outcome) == (first.id, "updated")
    assert second.edition != first.edition
    shown = incidents.shown(store, make_own(), "1")
    assert (shown.content["name"], shown.content["description"]) == ("A larger wave of mails", TEXT)
    assert read_timestamp(shown.content["modified"]) == NOW + DAY
    assert read_timestamp(shown.content["created"]) == NOW
    assert write(store, BAD.value, token="another").id != first.id
    assert [one.number for one in incidents.listed(store, make_own())] == [2, 1]


def test_versions_grow_where_the_clock_goes_back(store: Store) -> None:
    """A revision under an earlier clock is later than the version before all the same."""
    one = write(store, *BOTH)
    revise(store, one.id, NOW - DAY, description="Other words.")
    content = incidents.shown(store, make_own(), one.id).content
    assert read_timestamp(content["modified"]) == NOW + 1000
    assert content["description"] == "Other words."


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"values": ["45.0.0.9"]}, "threatshare ingest"),
        ({"values": ["no value at all"]}, "is no value"),
        ({"values": None}, "--value VALUE"),
        ({"objects": ["indicator--00000000-0000-4000-8000-000000000001"], "values": None}, "has this id"),
        ({"title": ""}, "needs a title"),
        ({"title": "two\nlines"}, "one line"),
        ({"title": "x" * 201}, "at most 200"),
        ({"description": "x" * 10_001}, "at most 10000"),
        ({"description": "a\x1b[2Jb"}, "U+001B"),
        ({"description": "a\u202eb"}, "U+202E"),
        ({"about": "suspicious-activity"}, "not about"),
        ({"techniques": ["phishing"]}, "no ATT&CK technique"),
        ({"tlp": Tlp.CLEAR}, "TLP:GREEN"),
    ],
)
def test_what_cannot_be_written_says_what_to_do(store: Store, said: dict[str, Any], wanted: str) -> None:
    """A report that cannot be as asked is refused with what is wrong, and nothing is stored."""
    with pytest.raises(UsageError, match=re.escape(wanted)):
        incidents.write(store, make_own(), draft(**({"values": [BAD.value]} | said)), "token", KEY, NOW)
    assert incidents.listed(store, make_own()) == []


def test_a_held_value_and_one_of_ours_say_so(store: Store) -> None:
    """A value that waits for a person, and one of our own assets, are no indicators, and the reason is told."""
    take_findings(store, make_finding(ip("45.0.0.3"), role=Role.UNKNOWN))
    with pytest.raises(UsageError, match="review assign"):
        write(store, "45.0.0.3")
    own = make_own(assets=OwnAssets(domains=("our-company.de",)))
    with pytest.raises(UsageError, match="own assets"):
        incidents.write(store, own, draft("vpn.our-company.de"), "token", KEY, NOW)


def test_the_marking_is_as_strict_as_what_is_named(store: Store) -> None:
    """A report is as strict as the strictest of what it names, unless a stricter marking is asked for."""
    find(store, ip("45.0.0.4"), tlp=Tlp.AMBER)
    assert write(store, BAD.value, "45.0.0.4", token="a").tlp is Tlp.AMBER
    assert write(store, BAD.value, token="b", tlp=Tlp.AMBER_STRICT).tlp is Tlp.AMBER_STRICT
    green = write(store, BAD.value, token="c")
    assert revise(store, green.id, NOW + DAY, values=[BAD.value, "45.0.0.4"]).tlp is Tlp.AMBER


@pytest.mark.parametrize(
    ("text", "what"),
    [("ask jane@our-company.de", "mail address of ours"), ("it came to 45.10.3.4", "address of ours")],
)
def test_what_nobody_could_release_is_not_written(store: Store, text: str, what: str) -> None:
    """What is surely ours is refused when it is written, by what it is and where, without repeating it."""
    with pytest.raises(UsageError, match=what) as told:
        incidents.write(store, make_own(assets=OWN_ASSETS), draft(BAD.value, description=text), "t", KEY, NOW)
    assert text.split()[-1] not in str(told.value)


def test_what_may_be_private_is_pointed_out(store: Store) -> None:
    """What only looks private is written, and pointed out to whoever will release it."""
    done = write(store, BAD.value, description=r"It wrote C:\Users\jdoe\payload.exe, says +1 202-555-0143.")
    assert {one.partition("(")[2].rstrip(")") for one in done.private} >= {"privacy-folder"}


# --- leaving ------------------------------------------------------------------------------------------------------


def test_no_text_leaves_before_it_was_released(store: Store, partner: Collection, internal: Collection) -> None:
    """Our own organisation has a report at once; a partner only once persons have released its text."""
    one = write(store, *BOTH)
    outlets = make_outlet(partner, AGREED), make_outlet(internal)
    report = let_out(store, *outlets)
    assert report.released == {"to-north": 2, "internal": 3}
    assert (report.held, report.refused) == (1, 0)
    assert reports(store, partner) == []
    assert TEXT not in json.dumps([entry.body for entry in served(store, partner)])
    assert held_rules(store, one.id) == {"to-north": {"report-text"}}
    release_text(store, one.id)
    assert let_out(store, make_outlet(partner, AGREED, NOW + SECOND)).released == {"to-north": 1}
    (there,) = reports(store, partner)
    assert there["description"] == TEXT
    assert check(store, partner)[-1].id == one.id


def test_a_release_is_of_one_version_and_one_audience(store: Store, partner: Collection) -> None:
    """A released text says nothing of the next version, nor of another partner's collection."""
    south = make_collection(store, CollectionKind.PARTNER, "to-south", "south")
    agreed = make_wide_agreement("south")
    one = write(store, *BOTH)
    let_out(store, make_outlet(partner, AGREED), make_outlet(south, agreed))
    release_text(store, one.id, alias="to-north")
    revise(store, one.id, NOW + SECOND, description="Words that nobody has released.")
    let_out(store, make_outlet(partner, AGREED, NOW + DAY), make_outlet(south, agreed, NOW + DAY))
    assert reports(store, partner) == reports(store, south) == []
    release_text(store, one.id, NOW + DAY, alias="to-south")
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY), make_outlet(south, agreed, NOW + 2 * DAY))
    assert reports(store, partner) == []
    assert [each["description"] for each in reports(store, south)] == ["Words that nobody has released."]


def test_the_former_version_stands_while_the_new_one_waits(store: Store, partner: Collection) -> None:
    """A partner keeps the version it has until the revision is released, and then gets it under the same id."""
    object_id = published(store, partner)
    revise(store, object_id, NOW + DAY, description="New words.")
    assert let_out(store, make_outlet(partner, AGREED, NOW + DAY)).held == 1
    assert [one["description"] for one in reports(store, partner)] == [TEXT]
    assert held_rules(store, object_id) == {"to-north": {"report-text"}}
    assert incidents.shown(store, make_own(), object_id).waiting["to-north"]
    release_text(store, object_id, NOW + DAY)
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY))
    assert [(one["id"], one["description"]) for one in reports(store, partner)] == [(object_id, "New words.")]
    assert held_rules(store, object_id) == {}
    assert incidents.shown(store, make_own(), object_id).waiting == {}
    check(store, partner)


def test_a_waiting_revision_does_not_keep_what_may_no_longer_stand(store: Store, partner: Collection) -> None:
    """While a revision waits, the former version is withdrawn with what it names, or with the agreement's terms."""
    object_id = published(store, partner)
    revise(store, object_id, NOW + DAY, values=[OTHER.value])
    let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    assert len(reports(store, partner)) == 1
    feedback.withdraw(store, make_own(), BAD.value, by(at=NOW + DAY))
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY))
    assert reports(store, partner) == []


def test_changed_terms_withdraw_the_former_version(store: Store, partner: Collection) -> None:
    """Where the terms change while a revision waits, the former version does not stand on the old ones."""
    object_id = published(store, partner)
    revise(store, object_id, NOW + DAY, description="New words.")
    let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    stricter = with_terms(AGREED, outbound=Outbound("amber", TYPES, min_score=1))
    let_out(store, make_outlet(partner, stricter, NOW + 2 * DAY))
    assert reports(store, partner) == []


# --- what it names ------------------------------------------------------------------------------------------------


def test_a_report_waits_for_what_it_names(store: Store, partner: Collection) -> None:
    """A report goes only after all that it names; nobody's release lifts that, and the reason has no value."""
    find(store, ip("45.0.0.5"), tlp=Tlp.AMBER_STRICT)
    strict = write(store, "45.0.0.5", token="strict")
    lenient = with_terms(AGREED, outbound=Outbound("amber+strict", TYPES, min_score=99))
    let_out(store, make_outlet(partner, lenient))
    assert held_rules(store, strict.id)["to-north"] == {"references", "report-text"}
    release_text(store, strict.id)
    let_out(store, make_outlet(partner, lenient, NOW + SECOND))
    assert reports(store, partner) == []
    assert held_rules(store, strict.id)["to-north"] == {"references"}
    (decided,) = [one for _, one in decisions_on(store.conn, strict.id)]
    assert "45.0.0.5" not in str(decided.reasons)
    assert any("1 of the 1" in one.text for one in decided.reasons)
    assert incidents.shown(store, make_own(), strict.id).missing == {"to-north": [indicator_id(US, ip("45.0.0.5"))]}
    # Once the score is high enough the indicator goes, and the report behind it in the same run.
    lower = with_terms(AGREED, outbound=Outbound("amber+strict", TYPES))
    let_out(store, make_outlet(partner, lower, NOW + 2 * SECOND))
    assert [one["id"] for one in reports(store, partner)] == [strict.id]


def test_a_report_goes_with_what_it_names_and_comes_back_with_it(store: Store, partner: Collection) -> None:
    """A report is withdrawn with any indicator it names; it comes back naming the id that the audience knows now."""
    object_id = published(store, partner)
    feedback.withdraw(store, make_own(), BAD.value, by(at=NOW + DAY))
    report = let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    assert (report.withdrawn, reports(store, partner)) == (2, [])
    (_, gone), *_ = decisions_on(store.conn, object_id)
    assert gone.withdrawn
    assert "references" in {one.rule for one in gone.reasons if one.verdict is Verdict.HOLD}
    feedback.undo(store, make_own(), Told.WITHDRAWAL, BAD.value, by(at=NOW + 2 * DAY))
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY))
    there = standing(store, partner)
    (back,) = reports(store, partner)
    assert back["id"] != object_id, "what was revoked gets no new version"
    assert set(back["object_refs"]) <= set(there)
    assert indicator_id(US, BAD) not in back["object_refs"]
    check(store, partner)


@pytest.mark.parametrize("kill_after", range(5))
def test_a_kill_leaves_no_report_with_former_ids(tmp_path: Path, kill_after: int) -> None:
    """Killed between an indicator's withdrawal and its report's, the next run puts the report right, too."""
    store = make_store(tmp_path, shape=Mortal)
    assert isinstance(store, Mortal)
    find(store, BAD, OTHER)
    partner = make_collection(store, CollectionKind.PARTNER, "to-north", "north")
    published(store, partner)
    feedback.withdraw(store, make_own(), BAD.value, by(at=NOW + DAY))
    store.left = kill_after
    with suppress(Killed):
        let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    store.left = None
    feedback.undo(store, make_own(), Told.WITHDRAWAL, BAD.value, by(at=NOW + 2 * DAY))
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY))
    there = standing(store, partner)
    (one,) = reports(store, partner)
    assert set(one["object_refs"]) <= set(there)
    check(store, partner)
    store.close()


def test_other_changes_ask_about_no_report(store: Store, partner: Collection) -> None:
    """What no report names changes without any report being looked at again; a run with nothing to do looks at none."""
    object_id = published(store, partner)
    asked = store.conn.execute("SELECT at FROM release WHERE object_id = ?", (object_id,)).fetchone()
    find(store, ip("45.0.0.6"))
    let_out(store, make_outlet(partner, AGREED, NOW + DAY))
    assert due_incidents(store.conn, partner.number, 10) == []
    assert store.conn.execute("SELECT at FROM release WHERE object_id = ?", (object_id,)).fetchone() == asked


def test_a_withdrawn_report_leaves_its_indicators(store: Store, partner: Collection, internal: Collection) -> None:
    """A person withdraws a report everywhere, its indicators stay; taken back, it comes back under another id."""
    object_id = published(store, partner)
    let_out(store, make_outlet(internal))
    incidents.withdraw(store, make_own(), object_id, by(at=NOW + DAY))
    let_out(store, make_outlet(partner, AGREED, NOW + DAY), make_outlet(internal, now=NOW + DAY))
    assert reports(store, partner) == reports(store, internal) == []
    assert len(standing(store, partner)) == 3
    with pytest.raises(UsageError, match="withdrawn already"):
        incidents.withdraw(store, make_own(), "1", by())
    with pytest.raises(UsageError, match="take that back first"):
        revise(store, "1", NOW + DAY, title="Another")
    incidents.withdraw(store, make_own(), "1", by(at=NOW + 2 * DAY), undo=True)
    let_out(store, make_outlet(partner, AGREED, NOW + 2 * DAY))
    assert [one["description"] for one in reports(store, partner)] == [TEXT]
    with pytest.raises(UsageError, match="not withdrawn"):
        incidents.withdraw(store, make_own(), "1", by(), undo=True)


def test_never_share_counts_in_a_text(store: Store, partner: Collection) -> None:
    """A text that mentions what never leaves is refused to a partner, whoever releases it."""
    one = write(store, *BOTH, description="They also used secret-source.org, which we do not tell.")
    listed = NeverShare(domains=frozenset({"secret-source.org"}))
    let_out(store, make_outlet(partner, AGREED, never_share=listed))
    release_text(store, one.id)
    let_out(store, make_outlet(partner, AGREED, NOW + DAY, never_share=listed))
    assert reports(store, partner) == []
    (decided,) = [each for _, each in decisions_on(store.conn, one.id)]
    assert "never-share" in {each.rule for each in decided.reasons if each.verdict is Verdict.REFUSE}


def test_an_agreement_without_reports_gets_none(store: Store, partner: Collection) -> None:
    """Under an agreement that does not take reports, no report leaves."""
    one = write(store, *BOTH)
    agreed = with_terms(AGREED, outbound=Outbound("amber", ("indicator",)))
    let_out(store, make_outlet(partner, agreed))
    (decided,) = [each for _, each in decisions_on(store.conn, one.id)]
    assert (decided.verdict, reports(store, partner)) == (Verdict.REFUSE, [])


# --- partners' reports --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["report", "grouping", "note"])
def test_partners_reports_are_kept(store: Store, kind: str) -> None:
    """What partners report is kept as it came, and makes no claim."""
    raw = json.dumps(
        {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--00000000-0000-4000-8000-000000000001",
            "created": "2026-02-01T00:00:00.000Z",
            "modified": "2026-02-01T00:00:00.000Z",
            "name": "theirs",
            "published": "2026-02-01T00:00:00Z",
            "object_refs": [f"indicator--00000000-0000-4000-8000-{number:012d}" for number in range(5_000)],
        }
    ).encode()
    tally, rejects = take_in(store, feed_source(store), raw)
    assert (tally.new, tally.rejected, rejects) == (1, 0, [])
    assert raw in {bytes(row[0]) for row in store.conn.execute("SELECT body FROM version")}
