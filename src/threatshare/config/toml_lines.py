"""Finds the line of a TOML file in which a key is given a value, for messages to whoever wrote it."""

from __future__ import annotations

import re
from collections import Counter

_LONGEST = 1_000
"""Characters of a line that are looked at; no key of ours is so long, and blanks would be looked at over and over."""
_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?").fullmatch
_ONE_OF_SEVERAL = re.compile(r"\s*\[\[\s*([^\[\]]+?)\s*\]\]\s*(?:#.*)?").fullmatch
_KEY = re.compile(r"\s*([A-Za-z0-9_\-.\"' ]+?)\s*=").match


def line_of(text: str, key: str) -> int | None:
    """Gives the line, from 1, that gives ``key`` its value, e.g. ``list.seen`` or ``source[0].kind``.

    Where there is none, as of a key within an inline table, it is that of the nearest table or key around it; None
    where there is none either. It reads lines, not TOML: the text of a string of many lines may mislead it.
    """
    wanted = key.strip()
    places = _places(text)
    while wanted:
        if wanted in places:
            return places[wanted]
        wanted = wanted[: max(wanted.rfind("."), wanted.rfind("["), 0)]
    return None


def _places(text: str) -> dict[str, int]:
    """Gives the first line of every table and key, by its path."""
    places: dict[str, int] = {}
    several: Counter[str] = Counter()
    table = ""
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole[:_LONGEST]
        if found := _ONE_OF_SEVERAL(line):
            name = _plain(found[1])
            table = f"{name}[{several[name]}]."
            several[name] += 1
            places.setdefault(table[:-1], number)
        elif found := _TABLE(line):
            table = f"{_plain(found[1])}."
            places.setdefault(table[:-1], number)
        elif found := _KEY(line):
            places.setdefault(table + _plain(found[1]), number)
    return places


def _plain(name: str) -> str:
    """Writes a name, also of several parts, without quotes and blanks."""
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
