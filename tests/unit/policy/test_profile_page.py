"""The page on profiles says what the data files say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from profile_builders import PROFILES
from threatshare.policy.profile_checks import CHECKS
from threatshare.policy.profiles import ProfileFile, RuleFile, load_profile


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """The text of the page."""
    return (root / "docs/reference/profiles.md").read_text("utf-8")


@pytest.mark.parametrize("name", PROFILES)
def test_every_rule_stands_in_the_page(page: str, name: str) -> None:
    """The table of a profile has its rules, in order, to the letter, and no others."""
    section = page.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith(f"| {name.upper()}-")] == [
        f"| {one.id} | {one.title} | `{one.check}` | {one.on_fail} | {'yes' if one.verified else 'no'} | {one.source} |"
        for one in PROFILES[name].rules
    ]


def test_every_check_and_parameter_stands_in_the_page(page: str) -> None:
    """The table of checks has all there are, with what they take; each parameter is explained."""
    section = page.partition("\n## The checks\n")[2].partition("\n## ")[0]
    for name, one in CHECKS.items():
        taken = [field.encode_name for field in msgspec.structs.fields(one.parameters)]
        listed = ", ".join(f"`{key}`" for key in taken) or "none"
        assert f"| `{name}` | {one.says} | {one.asked_of} | {listed} |" in section
        explained = section.partition("| parameter |")[2]
        assert [key for key in taken if f"`{key}`" not in explained] == []


def test_every_key_stands_in_the_page(page: str) -> None:
    """Each key of a profile's file is explained."""
    keys = [field.name for field in msgspec.structs.fields(ProfileFile) if field.name != "rule"]
    keys += [f"rule.{field.name}" for field in msgspec.structs.fields(RuleFile)]
    assert [
        key for key in keys if f"| `{key}` |" not in page and f"| `{key.removeprefix('rule.')}` |" not in page
    ] == []


def test_the_example_can_be_used(page: str, tmp_path: Path) -> None:
    """The profile that the page shows is one."""
    file = tmp_path / "north.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0], "utf-8")
    assert [one.id for one in load_profile(file).rules] == ["NORTH-01"]


def test_nothing_promises_acceptance(root: Path, page: str) -> None:
    """Both pages say that passing is no acceptance."""
    howto = (root / "docs/howto/check-a-bundle.md").read_text("utf-8")
    assert "does not mean that anybody accepts" in page
    assert "does not mean that CISA, or anybody,\naccepts" in howto
