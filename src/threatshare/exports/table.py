"""A table as CSV (RFC 4180, but with bare line feeds): for spreadsheets, scripts and SIEM lookup lists."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from threatshare.exports.rows import ExportRow
from threatshare.model import micros
from threatshare.stix.timestamps import write_timestamp

COLUMNS = ("type", "value", "score", "sources", "first_seen", "last_observed", "valid_until", "tlp")

BETWEEN_SOURCES = "; "

_FORMULA = frozenset("=+-@\t\r\n\0＝＋－＠")
"""A cell that begins so may be run as a formula by a spreadsheet (OWASP, "CSV Injection"; ASVS 5.0, 1.2.10)."""

_GUARD = "'"
"""Put before such a cell, and before one that begins with a quote itself, so that it can be taken off again."""


def write_table(rows: Iterable[ExportRow]) -> Iterator[str]:
    """Yields the header and a line a row; an empty export is a header alone.

    Times are RFC 3339 in UTC with milliseconds. A cell that a spreadsheet would run has a quote
    before it: only mail addresses, patterns and source names can begin so. ``bare`` undoes it.
    """
    # The csv module writes to anything with write(); returning its line gives a generator without a buffer.
    # With this terminator, and only then, it quotes a cell that holds a bare carriage return.
    line: Callable[[Iterable[str]], str] = csv.writer(_Echo(), lineterminator="\r\n").writerow
    yield line(COLUMNS)[:-2] + "\n"
    for row in rows:
        yield line(cells(row))[:-2] + "\n"


def cells(row: ExportRow) -> tuple[str, ...]:
    """Gives the cells of a row in the order of ``COLUMNS``, harmless to a spreadsheet."""
    return (
        row.observable.kind.value,
        _harmless(row.observable.value),
        str(row.score),
        _harmless(BETWEEN_SOURCES.join(row.sources)),
        _time(row.first_seen),
        _time(row.last_observed),
        _time(row.valid_until),
        "" if row.tlp is None else row.tlp.label,
    )


def bare(cell: str) -> str:
    """Takes off the quote that guards a cell; every leading quote in the table is such a guard."""
    return cell.removeprefix(_GUARD)


def _harmless(cell: str) -> str:
    return _GUARD + cell if cell[:1] in _FORMULA or cell.startswith(_GUARD) else cell


def _time(at: datetime | None) -> str:
    return "" if at is None else write_timestamp(micros(at))


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, line: str) -> str:
        return line
