"""Our description after RFC 2350: every heading of its outline, from every key that says something of us."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from threatshare.config import OwnContact
from threatshare.report.ourselves import UNSAID, description, unsaid
from threatshare.report.sheet import markdown

ELSEWHERE = {"contact", "expires", "policy", "preferred_languages", "canonical"}
"""Keys of security.txt only."""


def full() -> OwnContact:
    """Says something different under every key."""
    texts: dict[str, Any] = {
        key: f"what {key} says"
        for key in OwnContact.__struct_fields__
        if key not in ELSEWHERE | {"encryption", "updated"}
    }
    return OwnContact(updated=date(2026, 3, 1), encryption=("https://example.org/key.txt",), **texts)


def test_every_key_is_told_once() -> None:
    """What [contact] says of the team stands under one heading each; keys and where they are stand together."""
    made = markdown(description(full(), "Example Energy"))
    for key in OwnContact.__struct_fields__:
        if key not in ELSEWHERE | {"encryption", "updated"}:
            assert made.replace("\\", "").count(f"what {key} says") == (2 if key == "team" else 1), key
    assert "1.1 Date of Last Update: 2026-03-01" in made
    assert re.search(r"2\.8 .*what keys says, https\\://example\.org/key\.txt", made.replace("\\_", "_"))
    assert unsaid(full()) == []


def test_the_headings_are_the_outlines() -> None:
    """The seven parts stand in order, with as many headings in each as the outline of RFC 2350 has."""
    blocks = description(OwnContact(), "Example Energy").blocks
    assert [block.heading.split()[0] for block in blocks] == list("1234567")
    assert [len(block.facts) for block in blocks] == [3, 11, 4, 3, 2, 1, 1]
    for block in blocks[:5]:
        numbers = [what.split()[0] for what, _ in block.facts]
        assert numbers == [f"{block.heading[0]}.{one}" for one in range(1, len(numbers) + 1)]


def test_what_is_not_configured_is_not_stated() -> None:
    """A node that says nothing has its own name and nothing else, and what is missing is named by its key."""
    blocks = description(OwnContact(), "Example Energy").blocks
    said = {value for block in blocks for _, value in block.facts}
    assert said == {"Example Energy", UNSAID}
    assert "constituency" in unsaid(OwnContact())
