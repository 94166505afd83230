"""Rows of a table of known delimiter and comments: quoted cells run over lines, a broken row costs itself only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from threatshare.errors import BadValue
from threatshare.findings.documents import Doc
from threatshare.findings.formats.columns import Row, split
from threatshare.findings.records import MAX_RECORD, Numbered, reject
from threatshare.model import Reject

_JOINED = 50
"""Lines that one quoted cell may run over."""


def rows(
    lines: Iterator[Numbered | Reject], place: str, delimiter: str, comment: str
) -> Iterator[tuple[int, Row] | Reject]:
    """Yields rows; one with an open quote goes on in the next lines, if they close it."""
    waiting: deque[Numbered | Reject] = deque()
    while waiting or _one_more(waiting, lines):
        item = waiting.popleft()
        if isinstance(item, Reject):
            yield item
            continue
        number, text = item
        if not text.strip() or (comment and text.lstrip().startswith(comment)):
            continue
        try:
            row, used = _joined(text, waiting, lines, delimiter)
        except BadValue as problem:
            yield reject(place, number, str(problem), text)
            continue
        for _ in range(used):
            waiting.popleft()
        yield number, row


def _joined(
    text: str, waiting: deque[Numbered | Reject], lines: Iterator[Numbered | Reject], delimiter: str
) -> tuple[Row, int]:
    """Gives the row that a line begins, and how many more lines it took; BadValue where it does not end."""
    taken, quotes, size = [text], text.count('"'), len(text)
    while quotes % 2:
        used = len(taken) - 1
        full = len(taken) == _JOINED or size > MAX_RECORD
        following = waiting[used] if not full and (used < len(waiting) or _one_more(waiting, lines)) else None
        if following is None or isinstance(following, Reject):
            raise BadValue("a quote in this row is not closed")
        line = following[1]
        taken.append(line)
        quotes, size = quotes + line.count('"'), size + len(line)
    return split("\n".join(taken), delimiter), len(taken) - 1


def _one_more(waiting: deque[Numbered | Reject], lines: Iterator[Numbered | Reject]) -> bool:
    item = next(lines, None)
    if item is not None:
        waiting.append(item)
    return item is not None


def as_doc(header: Row, cells: Row) -> Doc:
    """Puts cells under their columns; those of two columns of one name become a list."""
    doc: Doc = {}
    for name, cell in zip(header, cells, strict=True):
        doc[name] = [doc[name], cell] if name in doc else cell
    return doc
