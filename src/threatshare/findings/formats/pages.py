"""Written reports as HTML pages and PDF files: their text goes through the rules for reports.

Headings, list items, table rows and code blocks of a page become their Markdown forms, so that sections and lists are
seen; a PDF knows none of these, so its headings are only what looks like one as text. A link is its visible text:
where an author shows one thing and links another, the target is a reference.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from threatshare.config import OwnAssets
from threatshare.findings.formats.markup import Tag, declared_charset, text_of, tokens
from threatshare.findings.formats.report import ReportReader
from threatshare.findings.records import reject
from threatshare.model import Finding, Reject

if TYPE_CHECKING:
    from pypdf import PageObject
    from pypdf import PdfReader as PdfFile

MAX_DOCUMENT = 64 * 1024 * 1024
"""Bytes of one document; it is read as a whole."""
MAX_PAGES = 2_000
MAX_PAGE_STREAM = 16 * 1024 * 1024
"""Bytes of a PDF page's drawing instructions, inflated."""
MAX_TEXT = 32 * 1024 * 1024
"""Characters of one document's text."""
MAX_SECONDS = 120.0
"""Time after which no further page of a PDF is begun; one page's work cannot be broken off."""


class Line(NamedTuple):
    """A line of a document's text."""

    place: str
    """Behind the file's name: ``LINE``, or ``page PAGE:LINE``."""
    text: str


def _report(
    lines: Iterable[Line], sensor: str, stream: BinaryIO, place: str, own: OwnAssets
) -> Iterator[Finding | Reject]:
    """Reads lines as a report, at the original file's time, and says where each stood."""
    numbered = list(lines)
    text = "\n".join(line.text for line in numbered).encode("utf-8", "replace")
    for item in ReportReader().read(_Text(text, stream), place, own):
        number = int(item.place.rpartition(":")[2])
        where = f"{place}:{numbered[number - 1].place}"
        yield replace(item, place=where, sensor=sensor) if isinstance(item, Finding) else replace(item, place=where)


class _Text(io.BytesIO):
    """Text of a document, with the time of the file that it came from."""

    def __init__(self, text: bytes, original: BinaryIO) -> None:
        super().__init__(text)
        self._original = original

    def fileno(self) -> int:
        return self._original.fileno()


# --- HTML -------------------------------------------------------------------------------------------------------

_PAGE = re.compile(
    rb"(?:\s++|(?><!--.{0,4096}?-->)|<\?xml[^>]{0,200}+>)*+<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
).match
_DROPPED = frozenset("nav footer template noscript svg select canvas".split())
"""Elements that are no part of what an author wrote; not forms: some servers put whole pages into one."""
_WRITTEN = frozenset("main article h1".split())
"""Elements that end those, where their end is missing."""
_BLOCKS = frozenset(
    "address article aside blockquote body br caption center dd details div dl dt fieldset figcaption figure header hr "
    "html legend main ol p section summary table tbody tfoot thead title ul".split()
)
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_CELLS = frozenset(("td", "th"))
_LONG_CELL = 400
"""Characters from which a cell is no value but a page's layout."""
_BLANKS = re.compile(r"[\s\u00a0]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_CUT_SHORT = re.compile(r"(https?://\S{8,}?)(?:\u2026|\.\.\.)$").match


class HtmlReader:
    """Reads reports that were saved as web pages."""

    name = "html"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells a page by its first tag."""
        return _PAGE(text_of(head[:16_384]).encode("utf-8", "replace")) is not None

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each line of the text that holds a value, at its line in the file."""
        data = stream.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            yield reject(place, 1, f"a page of more than {MAX_DOCUMENT} bytes: save its text only", b"")
            return
        html = text_of(data, declared_charset(data))
        del data
        yield from _report(_Page().lines(html), self.name, stream, place, own)


class _Page:
    """Writes a page's text line by line; tables and code blocks keep their form."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._line = 1
        self._began = 1
        """Line of the file at which the words begin."""
        self._lead = ""
        """``# `` or ``- ``: what goes before the words."""
        self._dropped = 0
        self._fenced = False
        self._cells: list[str] | None = None
        """Of the row under way; None outside of tables."""
        self._layout = False
        """Whether the row holds more than cells of values: then it is one of a page's layout."""
        self._href = ""
        self._shown = 0
        """Where the words of a link begin."""

    def lines(self, html: str) -> Iterator[Line]:
        """Yields the lines of a page's text."""
        counted = 0
        for token in tokens(html):
            self._line += html.count("\n", counted, token.at)
            counted = token.at
            if isinstance(token, Tag):
                yield from self._tag(token)
            elif not self._dropped:
                yield from self._text(token.text)
        yield from self._ended()
        yield from self._row_ended()

    def _text(self, text: str) -> Iterator[Line]:
        text = _INVISIBLE.sub("", text)
        if not self._words:
            if not text.strip() and not self._fenced:
                return
            blank = 0 if self._fenced else len(text) - len(text.lstrip())
            self._began = self._line + text.count("\n", 0, blank)
        if not self._fenced:
            self._words.append(_BLANKS.sub(" ", text))
            return
        for line in text.splitlines(keepends=True):
            self._words.append(line.rstrip("\r\n"))
            if line.endswith(("\n", "\r")):
                yield from self._ended()
                self._began += 1

    def _tag(self, tag: Tag) -> Iterator[Line]:
        name = tag.name
        if name in _WRITTEN and not tag.closing:
            self._dropped = 0
        if name in _DROPPED:
            yield from self._ended()
            self._dropped = max(0, self._dropped + (-1 if tag.closing else 1))
        elif name == "a" and not self._dropped:
            self._link(tag)
        elif not self._dropped:
            yield from self._block(name, tag.closing)

    def _block(self, name: str, closing: bool) -> Iterator[Line]:
        if name == "pre":
            yield from self._ended()
            if self._fenced == closing and self._cells is None:
                self._fenced = not closing
                yield Line(str(self._line), "```")
        elif name in _HEADINGS or name == "li":
            self._layout = self._layout or (self._cells is not None and name != "li")
            yield from self._ended()
            if not closing:
                self._lead = f"{_HEADINGS[name]} " if name in _HEADINGS else "- "
        elif name == "tr" or name in _CELLS:
            yield from self._cell(name, closing)
        elif name in _BLOCKS:
            if name == "table" and self._cells is not None and not closing:
                self._layout = True
                yield from self._row_ended()
            yield from self._ended()
            if name == "p" and self._cells is None and not self._fenced:
                yield Line(str(self._line), "")

    def _link(self, tag: Tag) -> None:
        if not tag.closing:
            self._href, self._shown = tag.attributes.get("href", ""), len(self._words)
            return
        # Only where a page shortens what it shows does the target say more.
        short = _CUT_SHORT("".join(self._words[self._shown :]).strip())
        if short is not None and self._href.startswith(short[1]):
            self._words[self._shown :] = [_BLANKS.sub("", self._href)]
        self._href = ""

    def _cell(self, name: str, closing: bool) -> Iterator[Line]:
        yield from self._ended()
        if name == "tr":
            yield from self._row_ended()
            if not closing:
                self._cells, self._layout = [], False
        elif not closing and self._cells is not None:
            self._cells.append("")

    def _ended(self) -> Iterator[Line]:
        """Ends a line: of the page, of a code block, or of a cell."""
        text = "".join(self._words)
        self._words, self._shown = [], 0
        text = text.rstrip() if self._fenced else text.strip()
        lead, self._lead = self._lead, ""
        if not text or (self._fenced and text.startswith("```")):
            self._lead = lead if not text else ""
            return
        if self._cells and not self._layout:
            self._cells[-1] = f"{self._cells[-1]} {text}".strip()
            if len(self._cells[-1]) > _LONG_CELL:
                self._layout = True
                yield from self._row_ended()
            return
        yield Line(str(self._began), lead + text)

    def _row_ended(self) -> Iterator[Line]:
        """Writes a row of a table; of a row that is a page's layout, its cells as lines."""
        cells, self._cells = self._cells, None
        filled = [cell for cell in cells or [] if cell]
        if self._layout or len(filled) == 1:
            yield from (Line(str(self._began), cell) for cell in filled)
        elif filled:
            yield Line(str(self._began), "| " + " | ".join(filled) + " |")


# --- PDF ----------------------------------------------------------------------------------------------------------


class PdfReader:
    """Reads reports that are PDF files with a text; scanned pages have none."""

    name = "pdf"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells a PDF by its first bytes."""
        return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"%PDF-")

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each line that holds a value, at its page and line; one Reject for a broken file."""
        data = stream.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            yield reject(place, 1, f"a PDF of more than {MAX_DOCUMENT} bytes: save its text only", b"")
            return
        lines: list[Line] = []
        reason = _read_pdf(data, lines)
        if reason is not None:
            yield reject(place, 1, reason, b"")
        yield from _report(lines, self.name, stream, place, own)


_BROKEN = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, NotImplementedError),
    *(AssertionError, OSError, zlib.error, struct.error),
)
"""What pypdf lets out on broken files beside its own errors."""

_AS_TEXT = "save its text as a .txt file and hand that in"
_FAULTS = {
    "PdfStreamError": "it is cut off or damaged: fetch it again, or open it in a viewer and save it anew",
    "LimitReachedError": f"a part of it inflates to more than any report needs: {_AS_TEXT}",
    "DependencyError": "it is encrypted in a way that is not supported: save it without encryption",
    "FileNotDecryptedError": "it is encrypted: save it without a password",
    "NotImplementedError": f"it is compressed in a way that is not supported: {_AS_TEXT}",
    "RecursionError": f"its parts are nested too deep: {_AS_TEXT}",
}
"""What is wrong with a PDF, and what to do, by the names of errors."""
_DAMAGED = f"it is damaged: open it in a viewer and save it anew, or {_AS_TEXT}"


def _read_pdf(data: bytes, lines: list[Line]) -> str | None:
    """Collects the text of a PDF; tells why not all of it could be read, or None."""
    from pypdf import PdfReader as PdfFile
    from pypdf.errors import DependencyError, PyPdfError

    _silence("pypdf")
    try:
        file = PdfFile(io.BytesIO(data), strict=False)
        if file.is_encrypted and not file.decrypt(""):
            return "an encrypted PDF: save it without a password"
        if len(file.pages) > MAX_PAGES:
            return f"a PDF of more than {MAX_PAGES} pages"
        return _read_pages(file, lines)
    except (PyPdfError, DependencyError, *_BROKEN) as problem:
        return f"a PDF that cannot be read; {_FAULTS.get(type(problem).__name__, _DAMAGED)}"


def _silence(name: str) -> None:
    """Keeps what a library logs of a document to itself: it quotes names and numbers, and lines that someone forged."""
    logger = logging.getLogger(name)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _read_pages(file: PdfFile, lines: list[Line]) -> str | None:
    started = time.monotonic()
    size = 0
    for number, page in enumerate(file.pages, start=1):
        if time.monotonic() - started > MAX_SECONDS:
            return f"a PDF that takes more than {MAX_SECONDS:.0f} seconds: page {number} and what follows were not read"
        text = _page_text(page)
        if text is None:
            return (
                f"page {number} of the PDF draws more than {MAX_PAGE_STREAM} bytes: it and what follows were not read"
            )
        size += len(text)
        if size > MAX_TEXT:
            return f"a PDF of more than {MAX_TEXT} characters: page {number} and what follows were not read"
        lines.extend(Line(f"page {number}:{at}", line) for at, line in enumerate(text.splitlines(), start=1))
    return None


def _page_text(page: PageObject) -> str | None:
    contents = page.get_contents()
    if contents is not None and len(contents.get_data()) > MAX_PAGE_STREAM:
        return None
    return _INVISIBLE.sub("", page.extract_text())
