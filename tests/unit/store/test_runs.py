"""What ran when: feed states beside their cursors, and what was kept aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders import NOW, make_store
from threatshare.model import Reject
from threatshare.store import runs
from threatshare.store.embedded import Store
from threatshare.store.runs import FeedState, feed_state, feed_states, note_rejects, reject_counts, rejects


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


def test_a_run_leaves_the_cursor_alone(store: Store) -> None:
    """How a run went and how far it came are saved apart: a failed run never moves the cursor."""
    assert feed_state(store.conn, "feed-a") == FeedState("feed-a")
    with store.writing() as conn:
        runs.save_cursor(conn, "feed-a", "7")
    state = FeedState("feed-a", "ignored", NOW, NOW - 1, NOW + 1, 3, '{"a": 1}')
    with store.writing() as conn:
        runs.save_run(conn, state)
    assert feed_state(store.conn, "feed-a") == replace(state, cursor="7")
    with store.writing() as conn:
        runs.save_cursor(conn, "feed-a", "8")
        runs.save_run(conn, FeedState("feed-b", last_run=NOW))
    assert feed_states(store.conn) == {
        "feed-a": replace(state, cursor="8"),
        "feed-b": FeedState("feed-b", last_run=NOW),
    }


def test_jobs(store: Store) -> None:
    """Of each job the last run is kept."""
    with store.writing() as conn:
        for at in (1, 2):
            runs.save_job(conn, "rescore", at, at + 60, f"{at}")
        runs.save_job(conn, "publish", 5, 9, "{}")
    assert runs.jobs(store.conn) == [("publish", 5, 9, "{}"), ("rescore", 2, 62, "2")]


def test_rejects_are_kept_newest_first(store: Store) -> None:
    """What was kept aside is told newest first, of one origin or of all, as many as are asked for."""
    with store.writing() as conn:
        for number in range(4):
            note_rejects(conn, f"feed-{number % 2}", [Reject(f"place {number}", "reason", "text")], NOW + number)
        note_rejects(conn, "feed-9", [], NOW)
    assert [(at - NOW, who, one.place) for at, who, one, _ in rejects(store.conn, None, 3)] == [
        (3, "feed-1", "place 3"),
        (2, "feed-0", "place 2"),
        (1, "feed-1", "place 1"),
    ]
    assert [one.place for _, _, one, _ in rejects(store.conn, "feed-0", 9)] == ["place 2", "place 0"]
    assert reject_counts(store.conn) == {"feed-0": 2, "feed-1": 2}


def test_the_oldest_rejects_make_room(store: Store) -> None:
    """Of each origin so many are kept and no more, however many come; nobody's push out anybody else's."""
    with store.writing() as conn:
        note_rejects(conn, "quiet", [Reject("a", "b")], NOW)
        for turn in "bc":
            note_rejects(conn, "noisy", (Reject(str(n), turn) for n in range(runs.KEPT_REJECTS - 5)), NOW)
        note_rejects(conn, "quiet", [Reject("c", "d")], NOW)
    assert reject_counts(store.conn) == {"noisy": runs.KEPT_REJECTS, "quiet": 2}
    newest = next(rejects(store.conn, "noisy", 1))[2]
    assert newest.place == str(runs.KEPT_REJECTS - 6)


def test_what_comes_again_is_kept_once(store: Store) -> None:
    """The same object, refused at each pull for the same reason, is one row, the newest, and counts."""
    with store.writing() as conn:
        for number in range(3):
            note_rejects(conn, "feed-a", [Reject("a", "b", "text"), Reject("a", "b", f"text {number}")], NOW + number)
        note_rejects(conn, "feed-b", [Reject("a", "b", "text")], NOW)
    assert reject_counts(store.conn) == {"feed-a": 4, "feed-b": 1}
    told = [(who, at - NOW, one.text, times) for at, who, one, times in rejects(store.conn, None, 3)]
    assert told == [("feed-b", 0, "text", 1), ("feed-a", 2, "text 2", 1), ("feed-a", 2, "text", 3)]


def test_long_texts_are_cut(store: Store) -> None:
    """Of what was refused only the start is kept."""
    with store.writing() as conn:
        note_rejects(conn, "feed-a", [Reject("a", "b", "ü" * 1_000_000)], NOW)
    ((_, _, kept, _),) = rejects(store.conn, None, 9)
    assert 0 < len(kept.text) < 100_000


@pytest.mark.parametrize("text", ["caf\udce9", "\ud800", "a\0b", "Größe 🙂"])
def test_any_text_is_kept(store: Store, text: str) -> None:
    """Whatever was refused, and wherever it stood, it can be kept: what is no Unicode is replaced."""
    with store.writing() as conn:
        note_rejects(conn, "feed-a", [Reject(text, text, text)], NOW)
    ((_, _, kept, _),) = rejects(store.conn, None, 9)
    assert kept.place == kept.reason == kept.text
    assert kept.place.isascii() or kept.place == text
