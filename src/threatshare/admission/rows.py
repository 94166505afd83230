"""Rows of a list, let in: what is named is claimed, and what is of an exercise that runs is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from threatshare.errors import PartnerError
from threatshare.model import Micros, Reject, Tally
from threatshare.ports import Listed, Listing
from threatshare.store.connection import Connection
from threatshare.store.listings import ListMerge
from threatshare.store.runs import note_rejects
from threatshare.store.set_aside import practised_among
from threatshare.store.sources import Source

ROWS = 20_000
"""Rows of a list that are committed together at most."""
_PRACTISED = "names a value of the exercise that this node runs, or one that holds such; kept aside"


def next_rows(listing: Listing) -> tuple[list[Listed | Reject], PartnerError | None]:
    """Gives the rows of one transaction, and the fault that ends them early."""
    rows: list[Listed | Reject] = []
    try:
        for row in islice(listing.rows, ROWS):
            rows.append(row)
    except PartnerError as problem:
        return rows, problem
    return rows, None


def take_rows(
    conn: Connection, merge: ListMerge, source: Source, rows: Sequence[Listed | Reject], now: Micros, tally: Tally
) -> None:
    """Takes the rows of one transaction in, and counts what became of them."""
    rejects = [one for one in rows if isinstance(one, Reject)]
    listed = [one for one in rows if isinstance(one, Listed)]
    practice = practised_among(conn, [one.observable for one in listed])
    rejects += [Reject(one.observable.value, _PRACTISED) for one in listed if one.observable in practice]
    merged, unchanged = merge.take([one for one in listed if one.observable not in practice], now)
    rejects += merged.rejects
    note_rejects(conn, source.name, rejects, now)
    tally.objects += len(rows)
    tally.new += merged.new
    tally.changed += merged.changed
    tally.unchanged += unchanged
    tally.rejected += len(rejects)
