"""Takes values, times and confidences from rows, column by column, as a list's settings say.

What is to be taken is settled once for a list; many rows are then taken together, so that little is done for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import repeat
from typing import Any, NamedTuple

from threatshare.errors import BadValue
from threatshare.feed_settings import Column, ListSettings
from threatshare.feeds.list_values import Taker, moment_of, percent_of, taker
from threatshare.model import Micros, Observable
from threatshare.ports import Listed

MOST_KEPT = 2_000
"""Characters kept of a row that was taken."""
_TIMES = 4_096
"""Rows of one day repeat their times: so many of a list are remembered."""

Row = Any
"""A list of texts, a record of JSON, or a match: what a pick takes a column from."""
Pick = Callable[[Sequence[Row]], list[str]]
"""Gives what stands in one column of each row; empty where nothing does."""


class Taken(NamedTuple):
    """What rows say, in their order."""

    listed: list[Listed | None]
    """None for a row that is left out or refused."""
    refused: dict[int, BadValue]
    """Why, by its place."""


class Columns:
    """What is taken from a row."""

    def __init__(self, terms: ListSettings, pick: Callable[[Column], Pick]) -> None:
        self._values = pick("value" if terms.pattern is not None else terms.value)
        self._types = _optional(pick, terms.type_column)
        self._seen = _optional(pick, terms.seen)
        self._confidences = _optional(pick, terms.confidence_column)
        self._confidence = terms.confidence
        kept = {int(name) if name.isdecimal() else name: set(wanted) for name, wanted in terms.keep.items()}
        self._keep = [(pick(column), wanted) for column, wanted in kept.items()]
        self._taker = taker(terms.type)
        self._takers = {word: None if kind == "skip" else taker(kind) for word, kind in terms.types.items()}
        self._moment = lru_cache(_TIMES)(partial(moment_of, terms.seen_format))
        self._percent = lru_cache(_TIMES)(percent_of)

    def taken(self, rows: Sequence[Row], texts: Sequence[str], now: Micros) -> Taken:
        """Reads rows, each with the text that it stood as; whatever one says, it was seen by ``now`` at the latest."""
        found: list[Listed | None] = []
        refused: dict[int, BadValue] = {}
        seen = repeat(None, len(rows)) if self._seen is None else self._seen(rows)
        stated = repeat(None, len(rows)) if self._confidences is None else self._confidences(rows)
        moment, percent, general = self._moment, self._percent, self._confidence
        columns = zip(texts, self._values(rows), self._takes(rows), seen, stated, strict=True)
        for text, value, take, when, sure in columns:
            if take is None:
                found.append(None)
                continue
            try:
                observable = take(value)
                at = None if when is None else moment(when)
                confidence = general if sure is None else percent(sure)
            except BadValue as problem:
                refused[len(found)] = problem
                found.append(None)
                continue
            if at is not None and at > now:
                at = now
            original = None if text == observable.value else text[:MOST_KEPT]
            found.append(Listed(observable, at, confidence, original))
        return Taken(found, refused)

    def _takes(self, rows: Sequence[Row]) -> Iterable[Taker | None]:
        """Gives how each row's value is read; None for a row that is to be left out."""
        if self._types is None:
            takes: Iterable[Taker | None] = repeat(self._taker, len(rows))
        else:
            known = self._takers
            takes = [known[word] if word in known else partial(_no_type, word) for word in self._types(rows)]
        for pick, wanted in self._keep:
            takes = [take if word in wanted else None for take, word in zip(takes, pick(rows), strict=True)]
        return takes


def _optional(pick: Callable[[Column], Pick], column: Column | None) -> Pick | None:
    return None if column is None else pick(column)


def _no_type(word: str, text: str) -> Observable:
    raise BadValue(f"{word[:60]!r} is no type that list.types names")


def cells(at: int) -> Pick:
    """Picks the column at an index of rows that are lists."""

    def pick(rows: Sequence[Row]) -> list[str]:
        try:
            return [row[at].strip() for row in rows]
        except IndexError:
            return [row[at].strip() if at < len(row) else "" for row in rows]

    return pick


def members(column: Column) -> Pick:
    """Picks what records of JSON hold under a key, or a path of keys with ``.`` between them."""
    path = str(column).split(".")
    return lambda rows: [_text(_member(row, path)) for row in rows]


def _member(record: object, path: Sequence[str]) -> object:
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def groups(names: Mapping[str, int], column: Column) -> Pick:
    """Picks what matches hold in the group of a name, of those that the expression has."""
    at = names.get(str(column))
    return lambda rows: ["" if at is None else _text(row[at]) for row in rows]


def _text(found: object) -> str:
    return found.strip() if isinstance(found, str) else "" if found is None else str(found)
