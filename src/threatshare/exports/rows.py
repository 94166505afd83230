"""What an export says of one observable, and which of them a consumer wants."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest

from threatshare.model import Kind, Observable, Tlp, micros


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One observable as it leaves in a file; sources, markings and permission were settled before."""

    observable: Observable
    score: int
    """Ours, 0-100."""
    sources: tuple[str, ...]
    """Names of the feeds and readers that claim it, in the order in which they are to be written."""
    first_seen: datetime
    last_observed: datetime
    """When any source last said so, UTC."""
    valid_until: datetime | None
    """None: no source has set an end."""
    tlp: Tlp | None
    """The most restrictive marking of its claims; None: no claim carries one."""


def select(
    rows: Iterable[ExportRow], kinds: Collection[Kind] | None = None, cap: int | None = None
) -> Iterator[ExportRow]:
    """Yields the rows of the kinds asked for (None: all), at most ``cap`` of them.

    Without a cap the rows stream through in the order in which they come. With one, the
    best come first and the rest is dropped: by score, then by the latest observation, then
    by kind and value, so that the same rows in any order give the same file. Memory grows
    with the cap, never with the number of rows.
    """
    wanted = rows if kinds is None else (row for row in rows if row.observable.kind in kinds)
    return iter(wanted) if cap is None else iter(nsmallest(cap, wanted, key=_rank))


def _rank(row: ExportRow) -> tuple[int, int, str, str]:
    return -row.score, -micros(row.last_observed), row.observable.kind.value, row.observable.value
