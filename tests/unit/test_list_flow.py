"""Lists in: what they name is claimed, what they no longer name is withdrawn, what is beyond belief is not taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders import DAY, NOW, dump, feed_source, ip, make_store
from threatshare.admission.rows import ROWS
from threatshare.errors import PartnerError
from threatshare.lookup import Answer, lookup
from threatshare.model import FeedReport, Micros, Reject, Tlp
from threatshare.ports import Listed, Listing
from threatshare.pull import pull_list
from threatshare.store.embedded import Store
from threatshare.store.runs import feed_state, rejects
from threatshare.store.sources import Source


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = make_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def source(store: Store) -> Source:
    return feed_source(store, "list-a")


@dataclass
class FakeList:
    """A ``ListClient`` over rows in memory."""

    rows: Sequence[Listed | Reject]
    complete: bool = True
    cursor: str = "read"
    fails: bool = False

    def listing(self, cursor: str | None, now: Micros) -> Listing | None:
        if cursor == self.cursor:
            return None
        return Listing(self._rows(), self.cursor, self.complete, len(self.rows))

    def _rows(self) -> Iterator[Listed | Reject]:
        yield from self.rows
        if self.fails:
            raise PartnerError("it breaks off")


def row(number: int, seen: Micros | None = None, confidence: int | None = None, text: str | None = None) -> Listed:
    """Builds a row about an address of its own."""
    return Listed(ip(f"45.{number >> 16}.{number >> 8 & 255}.{number & 255}"), seen, confidence, text)


def run(store: Store, source: Source, client: FakeList, now: Micros = NOW, believe: bool = False) -> FeedReport:
    """Reads a list."""
    return pull_list(store, source, client, lambda: now, lambda _: True, believe)


def ask(store: Store, number: int, now: Micros = NOW) -> Answer:
    """Asks for the address of a row."""
    (answer,) = lookup(store.conn, [row(number).observable.value], now)
    return answer


def counts(report: FeedReport) -> tuple[int, int, int, int, int]:
    """Gives (new, changed, unchanged, withdrawn, rejected)."""
    return report.new, report.changed, report.unchanged, report.withdrawn, report.rejected


def test_what_is_listed_is_claimed(store: Store, source: Source) -> None:
    """Each value has a score from the list's reliability, and a lookup shows the row as it stood."""
    report = run(store, source, FakeList([row(1, text="45.0.0.1 ssh"), row(2, confidence=80)]))
    assert (report.status, counts(report)) == ("ok", (2, 0, 0, 0, 0))
    first, second = ask(store, 1), ask(store, 2)
    assert first.score is not None
    assert second.score is not None
    assert (first.score.value, second.score.value) == (38, 60)
    assert (first.lists, second.lists) == ((("list-a", "45.0.0.1 ssh"),), (("list-a", None),))
    assert first.claims[0].marking.tlp is Tlp.GREEN


def test_the_same_list_again_writes_nothing(store: Store, source: Source) -> None:
    """A list read again within a day leaves every table as it is, whatever the order of its rows."""
    rows = [row(number, text=f"row {number}") for number in range(50)]
    run(store, source, FakeList(rows))
    before = dump(store.conn, "feed_state")
    report = run(store, source, FakeList(rows[::-1], cursor="again"), NOW + DAY - 1)
    assert counts(report) == (0, 0, 50, 0, 0)
    assert dump(store.conn, "feed_state") == before
    assert run(store, source, FakeList(rows, cursor="again")).objects == 0


def test_what_is_no_longer_listed_is_withdrawn(store: Store, source: Source) -> None:
    """A value that has left the list weighs nothing, one that stayed weighs the same, and coming back counts anew."""
    run(store, source, FakeList([row(1), row(2)]))
    assert counts(run(store, source, FakeList([row(2)], cursor="2"), NOW + 5)) == (0, 0, 1, 1, 0)
    gone = ask(store, 1)
    assert (gone.claims, gone.lists) == ((), ())
    assert ask(store, 2).score is not None
    history = store.conn.execute("SELECT since, gone FROM listed WHERE gone IS NOT NULL").fetchall()
    assert history == [(NOW, NOW + 5)]
    assert counts(run(store, source, FakeList([row(1), row(2)], cursor="3"), NOW + 9)) == (0, 1, 1, 0, 0)
    (claim,) = ask(store, 1, NOW + 9).claims
    assert (claim.valid_from, claim.observed) == (NOW + 9, NOW + 9)


def test_a_list_of_the_last_days_withdraws_nothing(store: Store, source: Source) -> None:
    """What a list that is not complete no longer names stays, and decays."""
    run(store, source, FakeList([row(1), row(2)], complete=False))
    assert counts(run(store, source, FakeList([row(2)], complete=False, cursor="2"))) == (0, 0, 1, 0, 0)
    assert len(ask(store, 1).claims) == 1


def test_what_stays_listed_does_not_decay(store: Store, source: Source) -> None:
    """A value that is still listed a day later is said anew, without counting as changed; a time of its own stays."""
    run(store, source, FakeList([row(1), row(2, seen=NOW - DAY)]))
    later = NOW + 10 * DAY
    assert counts(run(store, source, FakeList([row(1), row(2, seen=NOW - DAY)], cursor="2"), later)) == (0, 0, 2, 0, 0)
    assert [ask(store, number, later).claims[0].observed for number in (1, 2)] == [later, NOW - DAY]
    assert ask(store, 1, later).claims[0].valid_from == NOW


def test_of_several_rows_about_one_value_the_latest_counts(store: Store, source: Source) -> None:
    """Whatever the order of its rows and wherever a batch ends, a list says the same, and says it once."""
    filling = [row(number) for number in range(100, 100 + ROWS)]
    rows = [row(1, seen=NOW - 5, text="old"), row(1, seen=NOW - 2, text="new"), *filling, row(1, seen=NOW - 9)]
    assert counts(run(store, source, FakeList(rows))) == (ROWS + 1, 0, 2, 0, 0)
    assert ask(store, 1).lists == (("list-a", "new"),)
    assert counts(run(store, source, FakeList(rows[::-1], cursor="2"))) == (0, 0, ROWS + 3, 0, 0)
    assert ask(store, 1).claims[0].observed == NOW - 2


def test_two_lists_are_two_voices_unless_one_copies_the_other(store: Store) -> None:
    """Independent lists add up; lists of one lineage count once."""
    one, other = feed_source(store, "one"), feed_source(store, "other")
    copies = [feed_source(store, name, lineage="aggregate") for name in ("copy-1", "copy-2")]
    for source, number in ((one, 1), (other, 1), (copies[0], 2), (copies[1], 2), (one, 3)):
        pull_list(
            store, source, FakeList([row(number)], complete=False, cursor=str(number)), lambda: NOW, lambda _: True
        )
    scores = [ask(store, number).score for number in (1, 2, 3)]
    assert [one.value for one in scores if one is not None] == [61, 38, 38]


def test_a_list_that_shrinks_beyond_belief_withdraws_nothing(store: Store, source: Source) -> None:
    """A list of a tenth of its values raises an alarm and changes nothing, until somebody believes it."""
    run(store, source, FakeList([row(number) for number in range(2000)]))
    before = dump(store.conn)
    for few in (0, 1, 199):
        report = run(store, source, FakeList([row(number) for number in range(few)], cursor="2"))
        assert report.status == "failed"
        values = "a value" if few == 1 else f"{few} values"
        assert f"alarm: it names {values} and named 2000 before" in (report.error or "")
        assert "`pull list-a --believe`" in (report.error or "")
    assert dump(store.conn) == before
    assert run(store, source, FakeList([row(1)], cursor="2"), believe=True).withdrawn == 1999


def test_a_list_that_grows_beyond_belief_is_not_taken(store: Store, source: Source) -> None:
    """A list of more than ten times its values raises an alarm; up to there it is taken."""
    run(store, source, FakeList([row(number) for number in range(100)]))
    report = run(store, source, FakeList([row(number) for number in range(1001)], cursor="2"))
    assert (report.status, report.objects) == ("failed", 0)
    assert run(store, source, FakeList([row(number) for number in range(1000)], cursor="2")).new == 900


def test_a_list_of_rows_that_cannot_be_read_is_not_believed(store: Store, source: Source) -> None:
    """Where nearly every row is suddenly refused, as when a page of another form is served, nothing is withdrawn."""
    run(store, source, FakeList([row(number) for number in range(200)]))
    report = run(store, source, FakeList([Reject(f"line {number}", "no value") for number in range(200)], cursor="2"))
    assert "alarm: it names 0 values" in (report.error or "")
    assert len(ask(store, 1).claims) == 1


def test_a_list_that_breaks_off_withdraws_nothing(store: Store, source: Source) -> None:
    """What came before the fault is taken, nothing is withdrawn, and the next run reads it again."""
    run(store, source, FakeList([row(number) for number in range(5)]))
    report = run(store, source, FakeList([row(7)], cursor="2", fails=True))
    assert (report.status, report.error) == ("failed", "it breaks off")
    assert [len(ask(store, number).claims) for number in (1, 7)] == [1, 1]
    assert feed_state(store.conn, "list-a").cursor == "read"


def test_stopping_between_batches_loses_nothing(store: Store, source: Source) -> None:
    """A run that is stopped after a batch keeps it; the next one withdraws what is missing."""
    run(store, source, FakeList([row(900_000)]))
    rows = [row(number) for number in range(ROWS + 10)]
    stopped = pull_list(store, source, FakeList(rows, cursor="2"), lambda: NOW, lambda _: False, True)
    assert (stopped.new, stopped.withdrawn) == (ROWS, 0)
    assert counts(run(store, source, FakeList(rows, cursor="2"))) == (10, 0, ROWS, 1, 0)


def test_what_is_kept_aside_says_where(store: Store, source: Source) -> None:
    """Rows that cannot be read are kept with their line and reason."""
    report = run(store, source, FakeList([row(1), Reject("line 2", "no value", "x")]))
    assert counts(report) == (1, 0, 0, 0, 1)
    assert [one for _, _, one, _ in rejects(store.conn, "list-a", 9)] == [Reject("line 2", "no value", "x")]
