"""The page on TAXII names its tests, and every test that is named after a clause or a rule stands on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """The text of the page."""
    return (root / "docs/reference/taxii.md").read_text("utf-8")


@pytest.fixture(scope="module")
def tests(root: Path) -> set[str]:
    """The names of all contract tests."""
    files = (root / "tests/contract").glob("test_*.py")
    return {name for file in files for name in re.findall(r"^def (test_\w+)\(", file.read_text("utf-8"), re.M)}


def test_every_test_that_is_named_exists(page: str, tests: set[str]) -> None:
    """No row names a test that there is not."""
    assert set(re.findall(r"`(test_\w+)`", page)) - tests == set()


def test_every_clause_that_is_tested_is_listed(page: str, tests: set[str]) -> None:
    """Tests named after a clause (`test_5_7_...`) or a rule (`test_s5_...`) all have their row."""
    named = {name for name in tests if re.match(r"test_(\d{1,2}_|s\d{1,2}_|appendix_)", name)}
    assert named - set(re.findall(r"`(test_\w+)`", page)) == set()


def test_every_rule_has_its_row(page: str) -> None:
    """The rules S1 to S20 stand there in order."""
    assert re.findall(r"^\| (S\d+) \|", page, re.M) == [f"S{number}" for number in range(1, 21)]
