"""FIRST's IEP 2.0: what a partner lets us do, out of an agreement and into a draft that allows nothing more."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from gate_builders import TODAY, agreement
from threatshare.errors import ConfigurationError
from threatshare.policy.agreements import IepMetadata, Inbound, Outbound, standing
from threatshare.policy.iep import LIMIT, draft_of, iep_of, lost_in, read_policies

AMBER: dict[str, Any] = {
    "id": "01bc4353-4829-4d55-8d52-0ab7e0790df9",
    "name": "Members",
    "description": "What members may do.",
    "iep_version": 2.0,
    "start_date": "2026-01-01T00:00:00Z",
    "end_date": None,
    "encrypt_in_transit": "may",
    "permitted_actions": "externally-visible-direct-actions",
    "affected_party_notifications": "may",
    "tlp": "amber",
    "attribution": "must-not",
    "unmodified_resale": "must-not",
    "external_references": ["https://www.first.org/tlp", "https://www.first.org/iep"],
}
"""The statements of the framework's own example of a TLP:AMBER policy."""
END = date(2026, 12, 31)


def test_a_policy_has_firsts_names() -> None:
    """What goes out has exactly the names of the JSON specification, its version as a number and whole days."""
    one = agreement(iep=IepMetadata(name="Members"), inbound=Inbound("amber", onward_attribution="must"))
    said = iep_of(one)
    assert set(said) == set(AMBER)
    assert (said["iep_version"], said["tlp"], said["attribution"], said["name"]) == (2.0, "amber", "must", "Members")
    assert (said["start_date"], said["end_date"]) == ("2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z")


def test_a_policys_id_follows_from_the_terms() -> None:
    """Without an id of its own a policy has the same one as long as the terms are the same."""
    same, other = agreement(), agreement(inbound=Inbound(permitted_actions="none"))
    assert iep_of(agreement())["id"] == iep_of(same)["id"] != iep_of(other)["id"]
    assert iep_of(agreement(iep=IepMetadata(AMBER["id"])))["id"] == AMBER["id"]


@pytest.mark.parametrize(
    ("label", "written", "back"),
    [("clear", "white", "clear"), ("green", "green", "green"), ("amber", "amber", "amber")]
    + [("amber+strict", "red", "red"), ("red", "red", "red")],
)
def test_no_label_gets_wider(label: Any, written: str, back: str) -> None:
    """TLP 2 labels that IEP lacks are written as the next stricter one, never as a wider one."""
    one = agreement(inbound=Inbound(label))
    assert iep_of(one)["tlp"] == written
    assert draft_of(iep_of(one), "south", None, None, TODAY)[0].inbound.default_tlp == back
    assert any("red" in text for text in lost_in(one)) == (label == "amber+strict")


def test_a_draft_has_every_statement_and_nothing_more() -> None:
    """A draft says what the policy says, is not signed, lets nothing out, and lists what no policy can say."""
    draft, unsaid = draft_of(AMBER, "north", END, None, TODAY)
    assert draft.inbound == Inbound(
        "amber",
        permitted_actions="externally-visible-direct-actions",
        onward_attribution="must-not",
        affected_party_notifications="may",
        encrypt_in_transit="may",
    )
    assert draft.outbound == Outbound("clear", (), approval="human")
    assert draft.iep.id == AMBER["id"]
    assert draft.iep.external_references == tuple(AMBER["external_references"])
    assert (draft.effective_from, draft.expires_on) == (date(2026, 1, 1), END)
    assert [one.text for one in standing(draft, TODAY)] == ["agreement with north is not signed: it has no signed_on"]
    assert any(text.startswith("outbound") for text in unsaid)
    assert any("retention" in text for text in unsaid)


def test_where_a_policy_is_silent_the_draft_is_safest() -> None:
    """A policy without statements makes a draft under which nothing may be done, each silence listed."""
    draft, unsaid = draft_of({"iep_version": 2.0}, "north", END, None, TODAY)
    assert draft.inbound == Inbound("red", permitted_actions="none", onward_attribution="must-not")
    for statement in ("tlp", "permitted_actions", "attribution", "encrypt_in_transit", "unmodified_resale"):
        assert any(text.startswith(f"{statement}: not in the policy") for text in unsaid)


def test_what_is_no_statement_is_listed() -> None:
    """A property that IEP 2.0 does not have is not taken for a permission, but shown."""
    _, unsaid = draft_of(AMBER | {"commercial_use": "may"}, "north", END, None, TODAY)
    assert any(text.startswith("commercial_use: no statement") for text in unsaid)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-03-01T00:00:00Z", "2026-12-31T23:59:59Z", date(2026, 3, 1), date(2026, 12, 31)),
        ("2026-03-01T00:00:01Z", "2026-12-31T00:00:00Z", date(2026, 3, 2), date(2026, 12, 30)),
        ("2026-03-01T00:00:00+02:00", "2026-12-31T23:59:59+02:00", date(2026, 3, 1), date(2026, 12, 30)),
        ("2026-03-01T12:00:00.5Z", "2026-12-31T12:00:00.5Z", date(2026, 3, 2), date(2026, 12, 30)),
    ],
)
def test_only_whole_days_count(start: str, end: str, first: date, last: date) -> None:
    """A draft begins with the first day and ends with the last one that lie wholly within the policy's time, UTC."""
    draft, _ = draft_of(AMBER | {"start_date": start, "end_date": end}, "north", None, None, TODAY)
    assert (draft.effective_from, draft.expires_on) == (first, last)


def test_given_dates_only_narrow() -> None:
    """Days that are given take the place of the policy's own where they lie within them, and are refused elsewhere."""
    policy = AMBER | {"end_date": "2026-12-31T23:59:59Z"}
    draft, _ = draft_of(policy, "north", date(2026, 6, 30), date(2026, 2, 1), TODAY)
    assert (draft.effective_from, draft.expires_on) == (date(2026, 2, 1), date(2026, 6, 30))
    assert draft.iep.start_date == date(2026, 1, 1)
    for until, begins in ((date(2027, 1, 1), None), (None, date(2025, 12, 31))):
        with pytest.raises(ConfigurationError, match="holds from 2026-01-01 to 2026-12-31"):
            draft_of(policy, "north", until, begins, TODAY)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"permitted_actions": "all"}, "permitted_actions is 'all', wanted none, contact-for-instruction"),
        ({"tlp": "pink"}, "tlp is 'pink', wanted white"),
        ({"tlp": ["red"]}, "tlp is"),
        ({"attribution": True}, "attribution is True"),
        ({"end_date": None}, "say when with --until"),
        ({"end_date": "2025-01-01T00:00:00Z"}, "before it begins"),
        ({"end_date": "2026-12-31T00:00:00"}, "end_date is '2026-12-31T00:00:00', wanted a time"),
        ({"start_date": 7}, "start_date is 7"),
        ({"id": "not a uuid", "end_date": "2026-12-31T00:00:00Z"}, "matching regex"),
    ],
)
def test_what_is_no_policy_is_refused(changed: dict[str, Any], wanted: str) -> None:
    """A value that IEP 2.0 does not have is refused with what was wanted, never guessed."""
    with pytest.raises(ConfigurationError) as caught:
        draft_of(AMBER | changed, "north", None, None, TODAY)
    assert wanted in str(caught.value)


def test_a_partner_that_is_no_file_name_is_refused() -> None:
    """The draft's partner is held to the same form as everywhere, before any file is named after it."""
    with pytest.raises(ConfigurationError, match="partner"):
        draft_of(AMBER, "../north", END, None, TODAY)


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"policies": [one]}])
def test_one_policy_or_a_list(wrap: Any) -> None:
    """A file is one policy, an array of them, or an object that holds nothing but such an array."""
    assert read_policies(json.dumps(wrap(AMBER)).encode(), "file") == [AMBER]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"{", "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b"[]", "wanted a policy of IEP 2.0"),
        (b"[1]", "wanted a policy of IEP 2.0"),
        (b'{"id": "x", "tlp": "red"}', "wanted a policy of IEP 2.0"),
        (b'{"iep_version": 1.0}', "iep_version is 1.0, wanted 2.0"),
        (b'{"id_ref": "a", "url": "https://b.example", "iep_version": 2.0}', "get it from 'https://b.example'"),
        (b"[" * 100_000, "is not valid JSON"),
        (b" " * (LIMIT + 1), "larger than"),
    ],
)
def test_what_is_no_policy_file_is_refused(text: bytes, wanted: str) -> None:
    """Anything else is refused with the file's name and what was wanted; nothing is fetched."""
    with pytest.raises(ConfigurationError) as caught:
        read_policies(text, "policy.iepj")
    assert str(caught.value).startswith("policy.iepj")
    assert wanted in str(caught.value)
