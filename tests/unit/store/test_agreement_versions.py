"""Versions of agreements: each that was ever in force is kept as it was, and none is changed afterwards."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from builders import DAY, NOW, dump
from threatshare.model import Micros, moment
from threatshare.policy.agreements import digest_of, load_agreements
from threatshare.store.agreements import history, keep_versions, unnumbered_changes
from threatshare.store.embedded import Store

TEXT = """# as both signed it
partner = "north"
version = 1
signed_on = 2026-01-01
effective_from = 2026-01-01
expires_on = 2026-12-31
[outbound]
max_tlp = "amber"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agreements").mkdir()
    return tmp_path


def keep(store: Store, folder: Path, text: str | None, now: Micros = NOW, today: date | None = None) -> int:
    """Puts a text where the agreement with north stands, or nothing there, and has it kept."""
    file = folder / "agreements" / "north.toml"
    file.unlink(missing_ok=True)
    if text is not None:
        file.write_text(text)
    return keep_versions(store, folder, load_agreements(folder), today or moment(now).date(), now)


def test_what_is_in_force_is_kept_as_it_stands(store: Store, folder: Path) -> None:
    """The first look keeps number, digest and the whole text, comments included; a second look changes nothing."""
    assert keep(store, folder, TEXT) == 1
    (one,) = history(store.conn, "north")
    assert (one.version, one.text, one.since, one.until, one.unnumbered) == (1, TEXT, NOW, None, False)
    assert one.digest == digest_of(load_agreements(folder)["north"])
    before = dump(store.conn)
    assert keep(store, folder, TEXT, NOW + DAY) == 0
    assert keep(store, folder, TEXT.replace("# as both signed it", "# another comment"), NOW + DAY) == 0
    assert dump(store.conn) == before


def test_a_change_closes_one_version_and_opens_the_next(store: Store, folder: Path) -> None:
    """A further version begins when the one before ends, and the text of that one stays as it was."""
    keep(store, folder, TEXT)
    later = TEXT.replace("version = 1", "version = 2").replace("amber", "green")
    keep(store, folder, later, NOW + DAY)
    first, second = history(store.conn, "north")
    assert (first.text, first.since, first.until) == (TEXT, NOW, NOW + DAY)
    assert (second.text, second.version, second.since, second.until) == (later, 2, NOW + DAY, None)
    assert unnumbered_changes(store.conn) == {}


def test_a_change_that_nobody_numbered_is_noted(store: Store, folder: Path) -> None:
    """Other terms under the same number are kept, marked, and told until the number is raised."""
    keep(store, folder, TEXT)
    keep(store, folder, TEXT.replace("amber", "green"), NOW + DAY)
    assert [one.unnumbered for one in history(store.conn, "north")] == [False, True]
    assert "version is still 1; raise it" in unnumbered_changes(store.conn)["north"]
    keep(store, folder, TEXT.replace("amber", "green").replace("version = 1", "version = 2"), NOW + 2 * DAY)
    assert unnumbered_changes(store.conn) == {}


def test_a_version_that_comes_back_is_a_further_row(store: Store, folder: Path) -> None:
    """Going back to earlier terms is history too, and no row is reopened."""
    for day, text in enumerate((TEXT, TEXT.replace("version = 1", "version = 2"), TEXT)):
        keep(store, folder, text, NOW + day * DAY)
    kept = history(store.conn, "north")
    assert [(one.version, one.until) for one in kept] == [(1, NOW + DAY), (2, NOW + 2 * DAY), (1, None)]


@pytest.mark.parametrize(
    "text",
    [
        None,
        TEXT.replace("signed_on = 2026-01-01\n", ""),
        TEXT.replace("expires_on = 2026-12-31", "expires_on = 2026-01-02"),
    ],
)
def test_what_is_not_in_force_is_closed_and_never_opened(store: Store, folder: Path, text: str | None) -> None:
    """A draft, an expired agreement and one that is gone are no version in force: what was before is closed."""
    assert keep(store, folder, text) == 0
    assert history(store.conn, "north") == []
    keep(store, folder, TEXT)
    assert keep(store, folder, text, NOW + DAY) == 1
    assert [one.until for one in history(store.conn, "north")] == [NOW + DAY]


def test_the_passing_of_days_closes_a_version(store: Store, folder: Path) -> None:
    """An agreement that expires by itself is closed by the next look, without any change of its file."""
    keep(store, folder, TEXT)
    assert keep(store, folder, TEXT, NOW + DAY, date(2026, 12, 31)) == 0
    assert keep(store, folder, TEXT, NOW + 2 * DAY, date(2026, 12, 31) + timedelta(1)) == 1


def test_only_the_text_that_was_read_is_kept(store: Store, folder: Path) -> None:
    """Where a file changes between reading and keeping, the next look keeps it: no text under another's digest."""
    file = folder / "agreements" / "north.toml"
    file.write_text(TEXT)
    read = load_agreements(folder)
    for text in (TEXT.replace("amber", "red"), "nonsense"):
        file.write_text(text)
        assert keep_versions(store, folder, read, moment(NOW).date(), NOW) == 0
    file.unlink()
    assert keep_versions(store, folder, read, moment(NOW).date(), NOW) == 0
    assert history(store.conn, "north") == []


def test_partners_have_histories_of_their_own(store: Store, folder: Path) -> None:
    """A change of one partner's agreement leaves another's versions alone."""
    (folder / "agreements" / "south.toml").write_text(TEXT.replace("north", "south"))
    keep(store, folder, TEXT)
    keep(store, folder, TEXT.replace("amber", "green"), NOW + DAY)
    assert len(history(store.conn, "north")) == 2
    assert [one.until for one in history(store.conn, "south")] == [None]
