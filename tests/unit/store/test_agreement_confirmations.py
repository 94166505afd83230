"""Loosened agreements wait for two persons; what is tightened acts at once; nobody opens alone what was closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builders import DAY, NOW
from threatshare.errors import UsageError
from threatshare.model import Micros, moment
from threatshare.policy.agreements import digest_of, load_agreements, parse_agreement
from threatshare.store.acts import FILE_ACT, acts
from threatshare.store.agreements import Acting, acting, confirm, history, keep_versions, unnumbered_changes
from threatshare.store.decisions import ByWhom
from threatshare.store.embedded import Store

FIRST = ByWhom("First desk", "signed on paper", NOW)
OTHER = ByWhom("Second desk", "read it", NOW)
TEXT = """partner = "north"
version = 1
signed_on = 2026-01-01
effective_from = 2026-01-01
expires_on = 2026-12-31
[outbound]
max_tlp = "green"
min_score = 10
"""
RAISED = TEXT.replace("version = 1", "version = 2").replace("green", "amber")
BOTH_WAYS = RAISED.replace("min_score = 10", "min_score = 60")


class Folder:
    """The agreement with north as a file, and the store that has seen it."""

    def __init__(self, store: Store, directory: Path) -> None:
        self.store, self.directory, self.now = store, directory, NOW
        (directory / "agreements").mkdir()

    def put(self, text: str | None, days: int = 1) -> Acting | None:
        """Puts a text there, looks at it as publishing does, some days later, and gives what acts of it."""
        file = self.directory / "agreements" / "north.toml"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        self.now += days * DAY
        return self.look()

    def look(self, now: Micros | None = None) -> Acting | None:
        read = load_agreements(self.directory)
        now = now or self.now
        keep_versions(self.store, self.directory, read, moment(now).date(), now)
        return acting(self.store.conn, read).get("north")

    def confirm(self, by: ByWhom) -> bool:
        found = self.look()
        assert found is not None
        assert found.waiting is not None
        return confirm(self.store, found.waiting, by)


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Folder:
    made = Folder(store, tmp_path)
    made.put(TEXT)
    return made


def ceiling(found: Acting | None) -> tuple[str, int, bool]:
    assert found is not None
    outbound = found.agreement.outbound
    return outbound.max_tlp, outbound.min_score, found.waiting is not None


def test_the_first_version_acts_at_once(folder: Folder) -> None:
    """A new agreement needs nobody second: `agreement add` works in one step, whatever its ceiling."""
    assert ceiling(folder.look()) == ("green", 10, False)


def test_a_raised_ceiling_waits_for_two(folder: Folder, store: Store) -> None:
    """The version before acts until two different persons have confirmed the raised one; then that acts and is kept."""
    found = folder.put(RAISED)
    assert ceiling(found) == ("green", 10, True)
    assert found is not None
    assert found.waiting is not None
    assert found.waiting.loosens == ("outbound.max_tlp",)
    assert found.waiting.digest == digest_of(parse_agreement(RAISED, "file"))
    assert "waits for two persons to confirm it, nobody has yet" in found.waiting.words
    assert folder.confirm(FIRST) is False
    found = folder.look()
    assert ceiling(found) == ("green", 10, True)
    assert found is not None
    assert found.waiting is not None
    assert "1 of 2, by First desk" in found.waiting.words
    assert folder.confirm(OTHER) is True
    assert ceiling(folder.look()) == ("amber", 10, False)
    assert [(one.version, one.interim, one.until is None) for one in history(store.conn, "north")] == [
        (1, False, False),
        (2, False, True),
    ]


def test_one_person_cannot_confirm_twice(folder: Folder) -> None:
    """The same name, however it is written, and the same login are one person."""
    folder.put(RAISED)
    folder.confirm(replace(FIRST, login="a"))
    for again in (FIRST, replace(FIRST, person="FIRST  desk"), replace(OTHER, login="a")):
        with pytest.raises(UsageError, match="a second, different person"):
            folder.confirm(again)
    assert ceiling(folder.look()) == ("green", 10, True)


def test_a_confirmation_is_for_exactly_its_terms(folder: Folder) -> None:
    """Where the file changes after the first confirmation, the second is the first of the new terms."""
    folder.put(RAISED)
    folder.confirm(FIRST)
    assert ceiling(folder.put(RAISED.replace("amber", "red"))) == ("green", 10, True)
    assert folder.confirm(OTHER) is False
    assert ceiling(folder.put(RAISED)) == ("green", 10, True)
    assert folder.confirm(OTHER) is True


def test_what_is_tightened_acts_at_once(folder: Folder, store: Store) -> None:
    """A file that raises the ceiling and the minimum score has the higher minimum now, and the raised ceiling later."""
    assert ceiling(folder.put(BOTH_WAYS)) == ("green", 60, True)
    _, interim = history(store.conn, "north")
    assert (interim.version, interim.interim, interim.unnumbered) == (1, True, False)
    assert interim.text.startswith("# No file's terms: those of version 1, with all that version 2 tightens.")
    assert digest_of(parse_agreement(interim.text, "kept")) == interim.digest
    assert unnumbered_changes(store.conn) == {}
    folder.confirm(FIRST)
    folder.confirm(OTHER)
    assert ceiling(folder.look()) == ("amber", 60, False)
    assert ceiling(folder.put(TEXT.replace('"green"', '"clear"'))) == ("clear", 60, True)


def test_an_end_acts_at_once(folder: Folder, store: Store) -> None:
    """A file that raises the ceiling and ends before today ends the agreement now."""
    folder.put(RAISED.replace("2026-12-31", "2026-01-02"))
    assert [one.until is None for one in history(store.conn, "north")] == [False]


def test_what_was_confirmed_once_is_not_for_ever(folder: Folder) -> None:
    """After a tightening the confirmed version is a loosening again, and waits for two more confirmations."""
    folder.put(RAISED)
    folder.confirm(FIRST)
    folder.confirm(OTHER)
    assert ceiling(folder.look()) == ("amber", 10, False)
    assert ceiling(folder.put(TEXT)) == ("green", 10, False)
    assert ceiling(folder.put(RAISED)) == ("green", 10, True)
    assert folder.confirm(OTHER) is False


def test_a_file_that_was_away_is_no_first_version(folder: Folder) -> None:
    """Removing the file and adding another with a higher ceiling opens nothing."""
    assert folder.put(None) is None
    assert ceiling(folder.put(RAISED)) == ("green", 10, True)


def test_a_longer_time_waits_too(folder: Folder, store: Store) -> None:
    """An agreement that is renewed after its end acts again once two persons have confirmed the new days."""
    renewed = TEXT.replace("version = 1", "version = 2").replace("2026-12-31", "2027-12-31")
    found = folder.put(renewed, days=400)
    assert found is not None
    assert found.waiting is not None
    assert found.waiting.loosens == ("expires_on",)
    assert history(store.conn, "north")[-1].until is not None
    folder.confirm(FIRST)
    folder.confirm(OTHER)
    folder.look()
    assert [(one.version, one.until is None) for one in history(store.conn, "north")] == [(1, False), (2, True)]


def test_changes_of_files_are_acts(folder: Folder, store: Store) -> None:
    """Each version that comes into force or goes is on record, though nobody knows who changed the file."""
    folder.put(BOTH_WAYS)
    folder.put(None)
    told = [(one.act["outcome"], one.act["plain"].get("interim")) for one in acts(store.conn)]
    assert told == [("no longer in force", None), ("in force", True), ("in force", False)]
    assert {one.act["verb"] for one in acts(store.conn)} == {FILE_ACT}
    assert {one.act["person"] for one in acts(store.conn)} == {None}
