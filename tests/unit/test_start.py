"""Commands that people wait for start fast, and nothing happens before they are asked to do something."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "antlr4",
    "apscheduler",
    "flask",
    "granian",
    "medallion",
    "requests",
    "sqlite_utils",
    "stix2",
    "stix2patterns",
    "taxii2client",
)
"""What takes a tenth of a second or more to import, each."""


def loaded_after(code: str) -> set[str]:
    """Runs code in a fresh Python and gives the heavy libraries that it imported."""
    told = f"import sys\n{code}\nprint('loaded:', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    return set(HEAVY) & set(run.stdout.partition("loaded:")[2].split())


def test_the_list_is_of_what_can_be_loaded() -> None:
    """The check sees an import when there is one."""
    assert loaded_after("import requests") == {"requests"}


@pytest.mark.parametrize(
    "code",
    [
        "from threatshare.cli import cli; cli(['--help'], standalone_mode=False)",
        "from threatshare.cli import cli; cli(['lookup', '--help'], standalone_mode=False)",
        "import threatshare.lookup",
        "import threatshare.config, threatshare.exports.formats",
    ],
)
def test_what_people_wait_for_imports_nothing_heavy(code: str) -> None:
    """Help, look-ups and settings start without the libraries that speak STIX, TAXII and HTTP."""
    assert loaded_after(code) == set()


def test_a_question_imports_nothing_that_takes_things_in() -> None:
    """A look-up starts without what keeps objects, merges them, searches texts or knows the grammar of patterns."""
    unneeded = ("store.objects", "store.knowledge", "store.listings", "policy.mentions", "stix.pattern_grammar")
    told = "import sys, threatshare.lookup; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, timeout=60, check=True)
    assert "threatshare.lookup" in run.stdout.split()
    assert {f"threatshare.{name}" for name in unneeded} & set(run.stdout.split()) == set()
