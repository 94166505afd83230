"""Agreements: read closed and typed, in force or not with every reason, warned about in time."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from threatshare.errors import ConfigurationError
from threatshare.model import Verdict
from threatshare.policy.agreements import (
    Agreement,
    Contact,
    Event,
    Inbound,
    LegalBasis,
    Outbound,
    check,
    digest,
    digest_of,
    in_force_until,
    load_agreements,
    new_agreement_text,
    standing,
    warnings,
)

TODAY = date(2026, 6, 15)
DAY = timedelta(days=1)
SMALLEST = """
partner = "north"
signed_on = 2026-01-02
effective_from = 2026-01-01
expires_on = 2026-12-31
[outbound]
max_tlp = "green"
"""


def write(node: Path, text: str, name: str = "north") -> Path:
    folder = node / "agreements"
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


def agreement(**changed: object) -> Agreement:
    values: dict[str, object] = {
        "partner": "north",
        "signed_on": date(2026, 1, 2),
        "effective_from": date(2026, 1, 1),
        "expires_on": date(2026, 12, 31),
        "outbound": Outbound("green"),
    }
    return Agreement(**(values | changed))  # type: ignore[arg-type]


def test_the_smallest_file_and_its_restrictive_defaults(tmp_path: Path) -> None:
    """Five keys make an agreement; what they do not allow is not allowed."""
    write(tmp_path, SMALLEST)
    read = load_agreements(tmp_path)["north"]
    assert read == agreement()
    assert read.outbound.object_types == ("indicator",)
    assert (read.inbound.default_tlp, read.inbound.onward_max_tlp, read.inbound.may_block) == (
        "amber+strict",
        None,
        False,
    )
    assert standing(read, TODAY) == []


def test_no_folder_no_agreements(tmp_path: Path) -> None:
    """A node without agreements is none the worse; it just shares with no partner."""
    assert load_agreements(tmp_path) == {}
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (("max_tlp", "max_tpl"), "unknown key outbound.max_tpl; did you mean max_tlp?"),
        (('"green"', '"white"'), "outbound.max_tlp: 'white' was given."),
        (("expires_on = 2026-12-31\n", ""), "missing required field `expires_on`"),
        (("expires_on = 2026-12-31", "expires_on = 2025-12-31"), "expires_on is 2025-12-31, which lies before"),
        (('"north"', '"south"'), "partner is 'south', wanted 'north'"),
        (('"north"', '"../north"'), "partner: '../north' was given."),
        (("[outbound]", "[outbound]\nmin_score = 101"), "outbound.min_score: 101 was given."),
        (("[outbound]", "[[contacts]]\nrole = 'king'\nname='x'\nchannel='y'\n[outbound]"), "contacts[0].role"),
        (
            ("[outbound]", "[[legal_basis]]\nname = 'x'\nfrom = 2026-02-01\nuntil = 2026-01-01\n[outbound]"),
            "legal_basis[0].until",
        ),
        (("[outbound]", "[inbound]\nonward_max_tlp = 'amber'\n[outbound]"), "inbound.onward_max_tlp"),
        (("[outbound]", "[outbound"), "is not valid TOML"),
        (('"green"', '"white"'), "wanted amber, amber+strict, clear, green, red"),
        (("expires_on = 2026-12-31", "expires_on = 'June'"), "wanted a day like 2026-12-31"),
        (
            ("[outbound]", "[[contacts]]\nroll = 'legal'\n[outbound]"),
            "unknown key contacts[0].roll; did you mean role",
        ),
        (("[outbound]", "[[contacts]]\nrole = 'king'\nname='x'\nchannel='y'\n[outbound]"), "'king' was given."),
        (("[outbound]", "[event]\nstrat = 2026-06-01\n[outbound]"), "unknown key event.strat; did you mean start?"),
        (("[outbound]", "[event]\nend = 2027-01-01\n[outbound]"), "event.end is 2027-01-01, wanted a day of the agree"),
        (("[outbound]", "[event]\nstart = 2025-01-01\n[outbound]"), "event.start is 2025-01-01, wanted a day of the"),
        (
            ("[outbound]", "[event]\nstart = 2026-06-02\nend = 2026-06-01\n[outbound]"),
            "event.end is 2026-06-01, which lies before its beginning 2026-06-02",
        ),
        (("[outbound]", "[outbound]\napproval = 'robot'"), "outbound.approval: 'robot' was given."),
        (("[outbound]", "[outbound]\nmax_age_days = 0"), "outbound.max_age_days: 0 was given."),
        (("[outbound]", "[inbound]\nonward_partners = ['../x']\n[outbound]"), "inbound.onward_partners[0]"),
        (("[outbound]", "[iep]\nid = 'x'\n[outbound]"), "iep.id: 'x' was given."),
        (('"north"', '"' + "[" * 9 + '"'), "partner: '[[[[[[[[[' was given."),
    ],
)
def test_what_is_wrong_is_said_exactly(tmp_path: Path, change: tuple[str, str], wanted: str) -> None:
    """A message names file, key, what was given and what was wanted."""
    file = write(tmp_path, SMALLEST.replace(*change))
    with pytest.raises(ConfigurationError) as caught:
        load_agreements(tmp_path)
    assert wanted in str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_check_names_every_wrong_file(tmp_path: Path) -> None:
    """`check` goes on past the first wrong file and says nothing of the right ones."""
    write(tmp_path, SMALLEST)
    write(tmp_path, SMALLEST, "south")
    write(tmp_path, "nonsense", "west")
    wrong = check(tmp_path)
    assert [Path(message.partition(".toml")[0]).name for message in wrong] == ["south", "west"]


def test_a_source_belongs_to_one_partner(tmp_path: Path) -> None:
    """Two agreements that claim one feed, or one the other's name, are refused: whose rights hold must be clear."""
    for shared in ("the-feed", "north"):
        write(tmp_path, SMALLEST + '[inbound]\nsources = ["the-feed"]\n')
        write(tmp_path, SMALLEST.replace("north", "south") + f'[inbound]\nsources = ["{shared}"]\n', "south")
        with pytest.raises(ConfigurationError, match=f"'{shared}' is north's already"):
            load_agreements(tmp_path)
        (message,) = check(tmp_path)
        assert "south.toml: inbound.sources" in message


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (None, "there is no agreement"),
        (agreement(signed_on=None), "is not signed"),
        (agreement(signed_on=TODAY + DAY), "is not signed until 2026-06-16"),
        (agreement(effective_from=TODAY + DAY), "in force only from 2026-06-16"),
        (agreement(expires_on=TODAY - DAY), "expired on 2026-06-14"),
        (agreement(legal_basis=(LegalBasis("law", TODAY - 9 * DAY, TODAY - DAY),)), "no legal basis in force: law"),
        (agreement(legal_basis=(LegalBasis("law", TODAY + DAY),)), "no legal basis in force: law"),
        (agreement(event=Event("games", TODAY + DAY)), "is for games only, which begins on 2026-06-16"),
        (agreement(event=Event(end=TODAY - DAY)), "is for a time only, which ended on 2026-06-14"),
    ],
)
def test_not_in_force(one: Agreement | None, wanted: str) -> None:
    """Missing, unsigned, early, expired or without legal basis: each refuses, and says which it is."""
    (reason,) = standing(one, TODAY)
    assert reason.rule == "agreement-in-force"
    assert reason.verdict is Verdict.REFUSE
    assert wanted in reason.text


def test_all_reasons_at_once() -> None:
    """An agreement that fails in several ways says them all."""
    bad = agreement(signed_on=None, expires_on=TODAY - DAY, legal_basis=(LegalBasis("law", TODAY + DAY),))
    assert len(standing(bad, TODAY)) == 3


def test_in_force_from_the_first_to_the_last_day() -> None:
    """The first and the last day count; one legal basis in force is enough."""
    edge = agreement(
        signed_on=TODAY,
        effective_from=TODAY,
        expires_on=TODAY,
        legal_basis=(LegalBasis("old law", TODAY - 9 * DAY, TODAY - DAY), LegalBasis("law", TODAY, TODAY)),
        event=Event("games", TODAY, TODAY),
    )
    assert standing(edge, TODAY) == []
    assert standing(edge, TODAY - DAY)
    assert standing(edge, TODAY + DAY)


def test_in_force_until_the_first_end() -> None:
    """The last day in force is that of the agreement, the event, or legal bases without a gap, whichever is first."""
    first, next_one = LegalBasis("a", TODAY - DAY, TODAY + 3 * DAY), LegalBasis("b", TODAY + 4 * DAY, TODAY + 9 * DAY)
    for one, wanted in (
        (agreement(), date(2026, 12, 31)),
        (agreement(event=Event(end=TODAY)), TODAY),
        (agreement(legal_basis=(next_one, first)), TODAY + 9 * DAY),
        (agreement(legal_basis=(first, LegalBasis("b", TODAY + 5 * DAY))), TODAY + 3 * DAY),
        (agreement(legal_basis=(first, LegalBasis("b", TODAY))), date(2026, 12, 31)),
        (agreement(signed_on=None), None),
    ):
        assert in_force_until(one, TODAY) == wanted
        assert wanted is None or (not standing(one, wanted) and standing(one, wanted + DAY))


@pytest.mark.parametrize(
    ("left", "wanted"),
    [(61, None), (60, "within 60 days"), (30, "within 30 days"), (7, "within 7 days"), (-1, "1 days ago")],
)
def test_warned_of_ends_and_reviews(left: int, wanted: str | None) -> None:
    """Expiry, review, legal bases and events are announced 60, 30 and 7 days ahead, and told when they are past."""
    when = TODAY + left * DAY
    for one in (
        agreement(expires_on=when),
        agreement(review_due=when),
        agreement(legal_basis=(LegalBasis("law", date(2026, 1, 1), when),)),
        agreement(event=Event("games", date(2026, 1, 1), when)),
    ):
        said = warnings(one, TODAY)
        assert len(said) == (wanted is not None)
        assert wanted is None or wanted in said[0]


def test_warned_of_contacts_that_nobody_has_verified() -> None:
    """A contact is overdue when its days have passed, or when it was never verified."""
    fresh = Contact("legal", "desk", "mail", TODAY - 10 * DAY, 10)
    stale = Contact("technical", "noc", "phone", TODAY - 11 * DAY, 10)
    never = Contact("operational", "soc", "phone")
    said = warnings(agreement(contacts=(fresh, stale, never)), TODAY)
    assert len(said) == 2
    assert "technical contact noc was last verified on 2026-06-04, due on 2026-06-14" in said[0]
    assert "operational contact soc was never verified" in said[1]


@pytest.mark.parametrize(
    ("every", "left", "wanted"),
    [
        (180, 61, None),
        (180, 60, "within 60 days: 2026-08-14, in 60 days"),
        (180, 30, "within 30 days"),
        (180, 7, "within 7 days"),
        (30, 30, None),
        (30, 7, "within 7 days"),
    ],
)
def test_warned_of_contacts_ahead(every: int, left: int, wanted: str | None) -> None:
    """A contact that is to be verified soon is told ahead, as far as a third of the time between two verifications."""
    contact = Contact("legal", "desk", "mail", TODAY + (left - every) * DAY, every)
    said = warnings(agreement(contacts=(contact,)), TODAY)
    assert len(said) == (wanted is not None)
    assert wanted is None or wanted in said[0]


def test_warned_of_blocking_that_the_same_file_forbids() -> None:
    """Who may block, but may not act, is told so; who may act, is not."""
    forbidden = [Inbound(may_block=True, permitted_actions="none"), Inbound(may_block=True, pap_default="amber")]
    assert all("inbound.may_block" in warnings(agreement(inbound=one), TODAY)[0] for one in forbidden)
    assert warnings(agreement(inbound=Inbound(may_block=True, pap_default="green")), TODAY) == []


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"a = " + b"[" * 5_000,
        b"a = " + b"9" * 5_000,
        b"expires_on = 2026-02-30",
        b"[[contacts]]\nverify_every_days = 99999999999999999999",
        b"outbound = 3",
        b"contacts = [1]",
        b"",
    ],
)
def test_check_survives_any_text(tmp_path: Path, text: bytes) -> None:
    """What no agreement can be read from is a message that begins with the file, never an exception."""
    file = write(tmp_path, "")
    file.write_bytes(text)
    (tmp_path / "agreements" / "folder.toml").mkdir()
    wrong = check(tmp_path)
    assert len(wrong) == 2
    assert str(file) in wrong[1]


def test_the_last_days_of_the_calendar_are_no_obstacle() -> None:
    """A verification that would fall behind the year 9999 is not due."""
    contact = Contact("legal", "desk", "mail", date(9999, 12, 1), 10**12)
    assert warnings(agreement(contacts=(contact,), expires_on=date.max), TODAY) == []


def test_a_default_that_is_written_out_changes_no_digest(tmp_path: Path) -> None:
    """The digest tells terms apart, not ways to write them; as hexadecimal digits it is the same."""
    write(tmp_path, SMALLEST + 'min_score = 0\n[inbound]\non_expiry = "freeze"\n[event]\n')
    read = load_agreements(tmp_path)["north"]
    assert digest_of(read) == digest_of(agreement()) == digest(agreement()).hex()
    assert (
        digest_of(read)
        == sha256(
            b'{"effective_from":"2026-01-01","expires_on":"2026-12-31","outbound":{"max_tlp":"green"},'
            b'"partner":"north","signed_on":"2026-01-02"}'
        ).hexdigest()
    )


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    """Order, spacing and comments of the file do not change the digest; any value does."""
    lines = SMALLEST.strip().splitlines()
    write(tmp_path, "# a comment\n" + "\n\n".join([*lines[3::-1], *lines[4:]]))
    assert digest(load_agreements(tmp_path)["north"]) == digest(agreement())
    changed = [
        agreement(outbound=Outbound("clear")),
        agreement(version=2),
        agreement(expires_on=date(2026, 12, 30)),
        agreement(event=Event("games")),
        agreement(contacts=(Contact("legal", "desk", "mail"),)),
        agreement(contacts=(Contact("legal", "desk", "mail", pgp="0000"),)),
    ]
    assert len({digest(one) for one in [agreement(), *changed]}) == 7


def test_a_new_file_can_be_used_as_it_is(tmp_path: Path) -> None:
    """The file that `agreement add` writes is read back as what was asked for."""
    text = new_agreement_text(
        "north", "amber", date(2027, 1, 1), TODAY, TODAY, ["indicator", "sighting"], 30, "B", ["north-feed"]
    )
    write(tmp_path, text)
    read = load_agreements(tmp_path)["north"]
    assert read.outbound == Outbound("amber", ("indicator", "sighting"), min_score=30)
    assert read.inbound.reliability == "B"
    assert read.senders == {"north", "north-feed"}
    assert standing(read, TODAY) == []


def test_a_new_file_without_signature_is_a_draft(tmp_path: Path) -> None:
    """Without a date of signature the file is written, and nothing leaves under it."""
    write(tmp_path, new_agreement_text("north", "green", date(2027, 1, 1), TODAY))
    assert [reason.text for reason in standing(load_agreements(tmp_path)["north"], TODAY)] == [
        "agreement with north is not signed: it has no signed_on"
    ]


@pytest.mark.parametrize(
    ("partner", "tlp", "until"),
    [
        ("a/b", "green", date(2027, 1, 1)),
        ('x"\n', "green", date(2027, 1, 1)),
        ("n", "white", date(2027, 1, 1)),
        ("n", "red", date(2025, 1, 1)),
    ],
)
def test_no_file_for_impossible_values(partner: str, tlp: str, until: date) -> None:
    """What could not be read back is not written."""
    with pytest.raises(ConfigurationError):
        new_agreement_text(partner, tlp, until, TODAY)


def test_every_key_of_the_new_file_is_one_that_is_known() -> None:
    """The keys that the new file shows commented out are real ones: uncommented, they are read."""
    text = new_agreement_text("north", "green", date(2027, 1, 1), TODAY)
    plain = "\n".join(
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in text.splitlines()
    )
    plain = plain.replace("YYYY-MM-DD   without it nothing leaves", "2026-01-01").replace("YYYY-MM-DD", "2026-06-15")
    plain = plain.replace('"of the signed document"', f'"{"a" * 64}"').replace('name = ""', 'name = "x"')
    read = msgspec.convert(tomllib.loads(plain.replace('channel = ""', 'channel = "x"')), Agreement)
    assert read.contacts
    assert read.legal_basis
    assert read.inbound.onward_max_tlp == "green"
    assert read.breach.notify_within_hours == 24
    assert read.event.end == date(2026, 6, 15)
