"""The formats that ``export`` knows, by name: a new one is a file beside this and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from threatshare.exports.blocklist import write_blocklist
from threatshare.exports.bundle import write_bundle
from threatshare.exports.rows import ExportRow
from threatshare.exports.table import write_table


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A format that is written from observables, a line at a time."""

    summary: str
    """For ``--help`` and the reference."""
    write: Callable[[Iterable[ExportRow]], Iterator[str]]
    blocking: bool
    """Whether its reader acts on it unasked: then nothing stands in it that may not be blocked."""


@dataclass(frozen=True, slots=True)
class ObjectFormat:
    """A format that is written from STIX objects as their JSON text, under an id that the caller makes."""

    summary: str
    write: Callable[[Iterable[bytes], str], Iterator[bytes]]
    blocking: bool
    """As for ``RowFormat``."""


FORMATS: Mapping[str, RowFormat | ObjectFormat] = {
    "csv": RowFormat(
        "a table with score, sources and times, safe to open in a spreadsheet", write_table, blocking=False
    ),
    "blocklist": RowFormat("values alone, one a line, for devices that block", write_blocklist, blocking=True),
    "stix": ObjectFormat("a STIX 2.1 bundle of merged indicators, one an observable", write_bundle, blocking=False),
}
