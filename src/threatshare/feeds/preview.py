"""What a feed would bring: its first page or rows, read as a pull reads them, and nothing kept."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from threatshare.errors import BadValue
from threatshare.model import Micros, Observable, Reject, Tlp
from threatshare.ports import FeedClient, ListClient
from threatshare.stix.claims import claim_of
from threatshare.stix.received import read_object

_ROWS = 1_000
_SHOWN = 10


@dataclass(slots=True)
class Preview:
    """What was found in the first page or rows."""

    objects: int = 0
    """Objects or rows that were looked at."""
    about: int | None = None
    """How many rows the list has, roughly; None for a feed of objects, which does not say."""
    types: Counter[str] = field(default_factory=Counter)
    """Objects by STIX type; for a list its values by kind."""
    values: list[Observable] = field(default_factory=list)
    """The first ones that would be claimed."""
    rejects: list[Reject] = field(default_factory=list)
    """The first that could not be taken."""
    rejected: int = 0

    def claimed(self, observables: tuple[Observable, ...]) -> None:
        """Keeps values for showing."""
        self.values += observables[: _SHOWN - len(self.values)]

    def refused(self, reject: Reject) -> None:
        """Counts what could not be taken."""
        self.rejected += 1
        if len(self.rejects) < _SHOWN:
            self.rejects.append(reject)


def preview(client: FeedClient | ListClient, now: Micros) -> Preview:
    """Reads the beginning of a feed as if it had never been read; raises PartnerError."""
    return _rows(client, now) if isinstance(client, ListClient) else _page(client, now)


def _rows(client: ListClient, now: Micros) -> Preview:
    found, listing = Preview(), client.listing(None, now)
    if listing is None:
        return found
    found.about = listing.about
    for row in islice(listing.rows, _ROWS):
        found.objects += 1
        if isinstance(row, Reject):
            found.refused(row)
        else:
            found.types[row.observable.kind.value] += 1
            found.claimed((row.observable,))
    return found


def _page(client: FeedClient, now: Micros) -> Preview:
    found = Preview()
    with closing(client.pages(None, now)) as pages:  # type: ignore[type-var]
        page = next(pages, None)
    for raw in page.objects if page is not None else ():
        found.objects += 1
        place = "object"
        try:
            read = read_object(raw)
            place = read.id
            claim = claim_of(read, read.version, Tlp.RED, now)
        except BadValue as problem:
            found.refused(Reject(place, str(problem), raw[:200].decode(errors="replace")))
            continue
        found.types[read.type] += 1
        found.claimed(claim.observables if claim is not None else ())
    return found
