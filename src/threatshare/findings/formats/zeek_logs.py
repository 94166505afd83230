"""Zeek's logs as records: one JSON object a line, or tab-separated rows under a header of their own.

A log says which one it is by ``#path`` (TSV), ``_path`` (JSON streaming logs) or ``@stream`` (seen in collectors'
copies); else its fields tell. Names of nested fields come dotted (``id.orig_h``), with an underscore (``id_orig_h``)
or nested. The TSV format is described in Zeek's manual, "Zeek Log Formats", and in its ASCII writer's options.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any, BinaryIO, NamedTuple

import msgspec

from threatshare.findings.documents import Doc, text
from threatshare.findings.records import HEAD, decoded, json_records, reject, replay, text_lines
from threatshare.model import Reject

READ = frozenset({"notice", "intel", "conn", "files", "http", "ssl"})
"""Logs whose records are used; rows of all others are passed over (``notice_alarm`` is a copy of some of notice)."""

_STATED = ("_path", "@stream")
_TELLING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("intel", ("seen.indicator", "seen.indicator_type")),
    ("notice", ("note", "suppress_for")),
    ("notice", ("note", "actions")),
    ("notice", ("note", "peer_descr")),
    ("conn", ("id.orig_h", "conn_state")),
    ("http", ("id.orig_h", "trans_depth")),
    ("ssl", ("id.orig_h", "established")),
    ("files", ("fuid", "analyzers")),
    ("dns", ("id.orig_h", "qtype_name")),
    ("other", ("uid", "id.orig_h", "id.resp_h")),
)
"""Fields that tell a log which does not name itself; asked in this order."""

_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?(?:#[^\n]*+\n)*?#separator ").match
"""How a TSV log begins; comments may stand before."""
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(\\))").sub
_DECODER = msgspec.json.Decoder(Doc)
_LOOKED_AT = 5
"""Records of the beginning that are tried to recognise a JSON log: the first may be cut off."""


class LogRecord(NamedTuple):
    """One record of a log."""

    where: str
    """``file:line``."""
    log: str
    """Which log it belongs to, e.g. ``notice``; empty where nothing tells."""
    doc: Doc


def zeek_records(stream: BinaryIO, place: str) -> Iterator[LogRecord | Reject]:
    """Yields the records of a log in order, JSON or TSV, in constant memory; broken ones as Reject."""
    head = stream.read(HEAD)
    whole = replay(head, stream)
    return _rows(whole, place) if _is_tabular(head) else _objects(whole, place)


def is_zeek_log(head: bytes) -> bool:
    """Tells a log from all else by its beginning; an Intel framework file, which is a list, is none."""
    if _is_tabular(head):
        return _HEADER(head) is not None and b"\n#fields" in head and b"\tindicator_type" not in head
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"[") or b'"ts"' not in head:
        return False
    for item in islice(json_records(io.BytesIO(head), ""), _LOOKED_AT):
        doc = None if isinstance(item, Reject) else _object(item.text)
        if doc is not None:
            return "ts" in doc and bool(log_of(doc))
    return False


def member(doc: Doc, name: str) -> Any:
    """Gives a field by its dotted name, in whichever of the three spellings it has; None where it has none."""
    found = doc.get(name)
    if found is not None or "." not in name:
        return found
    group, _, rest = name.partition(".")
    found = doc.get(f"{group}_{rest}")
    inside = doc.get(group)
    return inside.get(rest) if found is None and isinstance(inside, dict) else found


def member_text(doc: Doc, name: str) -> str:
    """Gives a field's text by its dotted name; empty where it has none."""
    found = member(doc, name)
    return found.strip() if isinstance(found, str) else ""


def log_of(doc: Doc) -> str:
    """Names the log that a record belongs to: what it says itself, else what its fields tell; empty where nothing."""
    stated = next((said for key in _STATED if (said := text(doc, key))), "")
    return stated or next(
        (log for log, names in _TELLING if all(member(doc, name) is not None for name in names)),
        "",
    )


# --- JSON -----------------------------------------------------------------------------------------------------


def _objects(stream: BinaryIO, place: str) -> Iterator[LogRecord | Reject]:
    for item in decoded(stream, place, _DECODER):
        if isinstance(item, Reject):
            yield item
        else:
            yield LogRecord(item[0], log_of(item[1]), item[1])


def _object(record: bytes) -> Doc | None:
    try:
        return _DECODER.decode(record)
    except (msgspec.MsgspecError, RecursionError):
        return None


# --- TSV ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Header:
    """What the lines that begin with ``#`` said last; a log that goes on after rotation says it anew."""

    separator: str = "\t"
    set_separator: str = ","
    empty: str = "(empty)"
    unset: str = "-"
    path: str = ""
    fields: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        return self.path or log_of(dict.fromkeys(self.fields, ""))

    def take(self, line: str) -> None:
        """Learns one header line; what it does not know it passes over (``#open``, ``#close``, comments)."""
        if line.startswith("#separator"):
            self.separator = _unescaped(line[len("#separator") :].strip(" ")) or "\t"
            self.path, self.fields, self.types = "", [], []
            return
        name, _, rest = line.partition(self.separator)
        match name:
            case "#set_separator":
                self.set_separator = rest or ","
            case "#empty_field":
                self.empty = rest
            case "#unset_field":
                self.unset = rest
            case "#path":
                self.path = rest
            case "#fields":
                self.fields, self.types = rest.split(self.separator), []
            case "#types":
                self.types = rest.split(self.separator)

    def record(self, cells: list[str]) -> Doc:
        """Gives a row as a document; fields that are unset are left out."""
        return {
            name: self._value(cell, kind)
            for name, cell, kind in zip_longest(self.fields, cells, self.types[: len(cells)], fillvalue="")
            if cell != self.unset
        }

    def _value(self, cell: str, kind: str) -> str | bool | list[str]:
        if kind.startswith(("set[", "vector[")):
            return [] if cell == self.empty else [_unescaped(one) for one in cell.split(self.set_separator)]
        if kind == "bool":
            return cell == "T"
        return "" if cell == self.empty else _unescaped(cell)


def _rows(stream: BinaryIO, place: str) -> Iterator[LogRecord | Reject]:
    header = _Header()
    log = ""
    for item in text_lines(stream, place):
        if isinstance(item, Reject):
            yield item
            continue
        number, line = item
        if line.startswith("#"):  # a value that begins so is escaped by Zeek
            header.take(line)
            log = header.log
        elif line.strip() and not header.fields:
            yield reject(place, number, "a row before the log's #fields line", line)
        elif line.strip():
            cells = line.split(header.separator)
            if len(cells) != len(header.fields):
                reason = f"the row has {len(cells)} fields, the header names {len(header.fields)}"
                yield reject(place, number, reason, line)
            elif log in READ:
                yield LogRecord(f"{place}:{number}", log, header.record(cells))


def _is_tabular(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"#")


def _unescaped(cell: str) -> str:
    r"""Undoes the writer's escapes, ``\xNN`` for a byte of UTF-8 and ``\\``."""
    if "\\" not in cell:
        return cell
    plain = _ESCAPE(lambda found: bytes([int(found[1], 16)]) if found[1] else b"\\", cell.encode())
    return plain.decode("utf-8", "replace")
