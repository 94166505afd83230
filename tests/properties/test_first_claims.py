"""The short ways that lists take through the store come to the same as the long ones."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import DAY, NOW, dump, feed_source, ip, make_store
from threatshare.model import Kind, Observable
from threatshare.ports import Listed
from threatshare.store.decisions import ByWhom
from threatshare.store.embedded import Store
from threatshare.store.feedback import Told, save_feedback
from threatshare.store.keys import observable_key
from threatshare.store.knowledge import Merged
from threatshare.store.lookups import OWN_ASSET
from threatshare.triage.benign import known_benign
from threatshare.triage.decay import CURVES
from threatshare.triage.score import NO_EVIDENCE, Assessor, ClaimRow, assess

NIGHTLY = settings.default is not None and settings.default.max_examples >= 10_000
SEEN = st.none() | st.integers(-500, 2).map(lambda days: NOW + days * DAY)
VALUES = st.sampled_from(
    [
        *(ip(f"45.0.0.{number}") for number in range(5)),
        ip("10.0.0.1"),
        Observable(Kind.DOMAIN, "bad.example.com"),
        Observable(Kind.DOMAIN, "co.uk"),
        Observable(Kind.URL, "http://h.bad-site.net/x"),
        Observable(Kind.MD5, "d41d8cd98f00b204e9800998ecf8427e"),
        Observable(Kind.SHA256, "a" * 64),
        Observable(Kind.EMAIL, "x@bad-site.net"),
    ]
)
ROWS = st.lists(
    st.builds(Listed, VALUES, SEEN, st.none() | st.integers(0, 100), st.none() | st.just("row")),
    max_size=10,
    unique_by=lambda row: row.observable,
)


def _cap(one: Observable) -> str | None:
    return OWN_ASSET if one == ip("45.0.0.3") else known_benign(one, "live")


def _reported(folder: str, about: list[Observable]) -> Store:
    """Makes a store in which people have reported some values, and which knows nothing else of them."""
    store = make_store(Path(folder), _cap)
    with store.writing() as conn:
        # The same keys in every store.
        conn.execute("UPDATE setting SET value = ? WHERE name = 'key-secret'", (b"x" * 32,))
    store.close()
    store = make_store(Path(folder), _cap)
    with store.writing() as conn:
        for at, one in enumerate(about):
            told = Told.SIGHTING if at % 2 else Told.FALSE_POSITIVE
            save_feedback(conn, store.key_of, told, one, ByWhom("SOC desk", "seen", NOW))
    return store


@settings(max_examples=2_000 if NIGHTLY else 20, deadline=None)
@given(ROWS, st.lists(VALUES, max_size=2, unique=True), st.sampled_from("ABCDEF"))
def test_first_claims_are_merged_as_any(rows: list[Listed], reported: list[Observable], letter: str) -> None:
    """What is new to the store is written as the merge of all else writes it: number, cap, score, claim and row."""
    seen = []
    for short in (True, False):
        with TemporaryDirectory() as folder:
            store = _reported(folder, reported)
            source = feed_source(store, "list", reliability=letter)
            with store.writing():
                merge = store.listing(source)
                if short:
                    assert merge.take(rows, NOW)[0].new == len(rows)
                elif rows:
                    said = {observable_key(store.key_of, row.observable): (row, NOW) for row in rows}
                    merge._claim(said, Merged(), NOW)
                assert merge.named == len(rows)
            seen.append(dump(store.conn))
            store.close()
    assert seen[0] == seen[1]


@given(
    st.sampled_from(list(Kind)),
    st.lists(st.tuples(st.floats(0, 0.95), st.integers(-500 * DAY, 2 * DAY)), min_size=1, max_size=20),
)
def test_scores_that_are_reckoned_together(kind: Kind, claims: list[tuple[float, int]]) -> None:
    """Single claims are scored the same, to the microsecond of the next change, together or each for itself."""
    assessor = Assessor(kind, NOW)
    assert kind in CURVES
    for weight, age in claims:
        row = ClaimRow(1, weight, NOW + age, min(NOW, NOW + age), None, 1)
        assert assessor.assess(weight, NOW + age) == assess(kind, [row], NO_EVIDENCE, NOW)
