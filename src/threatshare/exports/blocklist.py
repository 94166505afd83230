"""A plain list, one value a line, as firewalls, proxies, resolvers and ``grep -f`` read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from threatshare.exports.rows import ExportRow
from threatshare.model import Kind

COMMENT = "# "
"""Comment lines begin so; no value does, for no canonical value contains a blank."""


def write_blocklist(rows: Iterable[ExportRow], heading: Iterable[str] = ()) -> Iterator[str]:
    """Yields the heading as comments, then a line a row: the canonical value, a network as address/prefix.

    Patterns are left out, for a list holds nothing but values. A device that takes only so many
    lines skips the last ones: hand the rows over best first (``rows.select`` with a cap).
    """
    for text in heading:
        for line in text.splitlines():
            yield f"{COMMENT}{line}".rstrip() + "\n"
    for row in rows:
        if row.observable.kind is not Kind.PATTERN:
            yield f"{row.observable.value}\n"
