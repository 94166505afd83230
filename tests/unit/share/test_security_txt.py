"""security.txt: what it says, when there is none, and how the server answers with it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from clocks import START
from taxii_node import TaxiiNode
from threatshare.config import OwnContact, load_settings
from threatshare.errors import ConfigurationError
from threatshare.share.security_txt import PATH, faults, security_txt
from threatshare.share.settings import ServeSettings

TODAY = START.date()
CONTACT = OwnContact(
    contact=("mailto:security@example.org", "tel:+1-555-0100", "https://example.org/contact"),
    expires=TODAY + timedelta(200),
    encryption=("https://example.org/key.txt", "openpgp4fpr:5f2de5521c63a801ab59ccb603d49de44b29100f"),
    policy="https://example.org/policy",
    preferred_languages=("en", "pt-BR"),
    canonical=("https://taxii.example.org/.well-known/security.txt",),
)


def test_every_field_stands_on_its_line() -> None:
    """Contact comes first and in order, Expires once as RFC 3339, Preferred-Languages once; each line is a field."""
    text = security_txt(CONTACT, TODAY)
    assert text is not None
    lines = text.splitlines()
    assert lines[:3] == [f"Contact: {one}" for one in CONTACT.contact]
    assert f"Expires: {CONTACT.expires}T23:59:59Z" in lines
    assert "Preferred-Languages: en, pt-BR" in lines
    names = [line.partition(": ")[0] for line in lines]
    assert (names.count("Expires"), names.count("Preferred-Languages")) == (1, 1)
    assert set(names) == {"Contact", "Expires", "Encryption", "Policy", "Preferred-Languages", "Canonical"}


def test_there_is_none_without_address_or_day() -> None:
    """RFC 9116 demands both; and from the day after it expires there is none either."""
    assert security_txt(OwnContact(), TODAY) is None
    assert security_txt(msgspec.structs.replace(CONTACT, expires=None), TODAY) is None
    assert security_txt(msgspec.structs.replace(CONTACT, contact=()), TODAY) is None
    assert security_txt(msgspec.structs.replace(CONTACT, expires=TODAY), TODAY) is not None
    assert security_txt(msgspec.structs.replace(CONTACT, expires=TODAY - timedelta(1)), TODAY) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"expires": None}, "contact.expires is not set"),
        ({"expires": TODAY - timedelta(3)}, "3 days ago: security.txt is not served"),
        ({"expires": TODAY + timedelta(10)}, "in 10 days: check the addresses and renew it"),
        ({"expires": TODAY + timedelta(400)}, "advises less than a year"),
        ({"contact": ()}, "contact.contact is not set"),
    ],
)
def test_doctor_says_what_is_wrong(changed: dict[str, object], said: str) -> None:
    """A day in the past, near, far or missing is named with what to do; a file that holds is not."""
    (fault,) = faults(msgspec.structs.replace(CONTACT, **changed), TODAY)
    assert said in fault
    assert faults(CONTACT, TODAY) == []
    assert faults(OwnContact(team="a desk"), TODAY) == []


def test_it_is_served_without_credentials(tmp_path: Path) -> None:
    """Anybody gets the file as plain text in UTF-8, whatever is asked for; HEAD without it, and nobody may write."""
    with TaxiiNode(tmp_path, ServeSettings(own_contact=CONTACT)) as node:
        for accept in ("text/plain", "*/*", "application/json", "-"):
            answer = node.get(PATH, Accept=accept)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
            assert answer.body.decode() == security_txt(CONTACT, TODAY)
        assert node.request("HEAD", PATH).body == b""
        assert node.request("POST", PATH, body=b"x").status == 405
        assert node.request("DELETE", PATH).status == 405


def test_there_is_nothing_where_none_is_configured(tmp_path: Path) -> None:
    """A node that says nothing of itself, or whose file has expired, answers 404."""
    with TaxiiNode(tmp_path) as node:
        assert node.get(PATH).status == 404
    gone = msgspec.structs.replace(CONTACT, expires=TODAY - timedelta(1))
    (tmp_path / "other").mkdir()
    with TaxiiNode(tmp_path / "other", ServeSettings(own_contact=gone)) as node:
        assert node.get(PATH).status == 404


@pytest.mark.parametrize(
    "line",
    [
        'contact = ["http://example.org/contact"]',
        'contact = ["security@example.org"]',
        'contact = ["mailto:a@example.org\\nExpires: 2099-01-01T00:00:00Z"]',
        'contact = ["mailto:a@example.org\\n"]',
        'policy = "https://example.org/a b"',
        'preferred_languages = ["en, fr"]',
        'expires = "soon"',
    ],
)
def test_what_cannot_stand_there_is_refused(tmp_path: Path, root: Path, line: str) -> None:
    """An address that is no URI, is plain http, or would begin another line is an error that names its key."""
    text = (root / "config/node.toml").read_text("utf-8")
    (tmp_path / "node.toml").write_text(text.replace("[contact]\n", f"[contact]\n{line}\n"), "utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(f"contact.{line.partition(' ')[0]}")):
        load_settings(tmp_path)
