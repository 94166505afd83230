"""Cuts a list into lines, and leaves out those that say nothing: comments and blank ones.

Lines are read many at a time, and handed out together where every row is a line of its own, else one by one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from itertools import compress, count, islice
from typing import BinaryIO

from threatshare.feed_settings import ListSettings

MOST_ROW = 65_536
"""Characters of one row."""
_MOST_LINE = MOST_ROW + 2
"""Characters read of one line: enough for its reader to see that it is too long."""
_BLOCK = 65_536
"""Characters read at a time, fewer than of one line."""
_MOST_LINES = 100
"""Lines of one row of CSV: a quote that is never closed takes no more."""


def lines_of(stream: BinaryIO) -> Iterator[str]:
    """Yields lines without their ends, and the beginning of one that is too long for any row."""
    # What is no UTF-8 stays as it is and fails where it stands in a value, instead of ending the list.
    text = TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace")
    begun = ""
    while block := text.read(_BLOCK):
        lines = block.split("\n")
        lines[0] = (begun + lines[0])[:_MOST_LINE]
        begun = lines.pop()
        yield from lines
    if begun:
        yield begun


class Lines:
    """The lines of a list that say something; knows which one it is at, and what was read since it was last asked."""

    def __init__(self, lines: Iterable[str], terms: ListSettings) -> None:
        self._lines = iter(lines)
        self._comments = terms.comments
        # A column may be empty, and so be nothing but the delimiter before the next.
        self._columns = terms.format == "lines" and terms.delimiter is not None
        self._read = 0
        self._texts: list[str] = []
        self._numbers: list[int] = []
        self._at = 0
        self._since: list[str] = []
        self.number = 0
        """Of the line that was handed out last, from 1."""
        self.comment = ""
        """The last comment that was read."""

    @property
    def left(self) -> bool:
        """Whether lines were read that are still to be handed out."""
        return self._at < len(self._texts)

    def ahead(self, most: int) -> list[str]:
        """Reads on where none is left, and gives up to ``most`` lines, still to be handed out; none at the end."""
        self._texts, self._at = [], 0
        while not self._texts and (lines := list(islice(self._lines, most))):
            stripped = [line.strip() for line in lines]
            speaks = [text != "" and not text.startswith(self._comments) for text in stripped]
            if not all(speaks):
                silent = [text for text, one in zip(stripped, speaks, strict=True) if text and not one]
                self.comment = silent[-1] if silent else self.comment
            texts = [line.rstrip("\r\n") for line in lines] if self._columns else stripped
            self._texts = list(compress(texts, speaks))
            self._numbers = list(compress(count(self._read + 1), speaks))
            self._read += len(lines)
        return self._texts

    def all(self) -> tuple[list[str], list[int]]:
        """Hands out what was read ahead, with the numbers of the lines."""
        self._at = len(self._texts)
        return self._texts, self._numbers

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not (self.left or self.ahead(1)):
            raise StopIteration
        text, self.number = self._texts[self._at], self._numbers[self._at]
        self._at += 1
        self._since.append(text)
        if len(self._since) > _MOST_LINES:
            raise csv.Error(f"a row of more than {_MOST_LINES} lines: a quote is not closed")
        return text

    def taken(self) -> str:
        """Gives what was handed out one by one for the present row."""
        text = self._since[0] if len(self._since) == 1 else "\n".join(self._since)
        self._since = []
        return text
