"""The injects of an exercise: read from a list, a table or JSON lines, or generated where values can be nobody's.

What is generated follows from the exercise's name and a seed alone: the same again, on any machine.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from threatshare.errors import BadValue
from threatshare.model import Kind, Micros, Observable, Reject
from threatshare.stix.exercise import practice_hash
from threatshare.stix.observables import canonical, recognise

MOST = 10_000
"""Injects of one file."""

_SECOND: Micros = 1_000_000
_UNITS = {"s": 1, "": 60, "m": 60, "h": 3_600, "d": 86_400}
_OFFSET = re.compile(r"\+?([0-9]{1,6})\s?([smhd]?)").fullmatch
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII).fullmatch
_HEADED = re.compile(r"value\s*(?:,|$)", re.IGNORECASE).match

_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
_DOMAINS = ("example.com", "example.net", "example.org", "example", "test", "invalid")
_WORDS = ("mail", "login", "update", "cdn", "portal", "files", "vpn", "support", "invoice", "static")


@dataclass(frozen=True, slots=True)
class Planned:
    """One inject as it is planned."""

    observable: Observable
    offset: Micros = 0
    """How long after the command it is injected."""
    techniques: tuple[str, ...] = ()
    """ATT&CK technique ids."""
    place: str = ""
    """Where it was read; empty for what was generated."""


def read_injects(text: str, place: str) -> Iterator[Planned | Reject]:
    """Reads JSON lines, a CSV table with a heading, or a list with a value a line; ``#`` begins a remark.

    Of a table or a line of JSON, ``value`` is wanted; ``offset`` (``90s``, ``10m``, ``2h``, ``1d``, a plain number
    is minutes) and ``techniques`` (ATT&CK ids, several separated by spaces or semicolons) may be there.
    """
    lines = text.lstrip("\ufeff").splitlines()
    first = next((line.strip() for line in lines if line.strip() and not line.strip().startswith("#")), "")
    table = csv.reader(lines) if _HEADED(first) else None
    for number, told in _rows(lines, table):
        where = f"{place}:{number}"
        if number > MOST:
            yield Reject(where, f"more than {MOST} lines of injects; the rest is not read")
            return
        try:
            yield _planned(told, where)
        except BadValue as problem:
            yield Reject(where, str(problem), str(told.get("value", ""))[:200])


def _rows(lines: list[str], table: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    if table is not None:
        heading: list[str] = []
        for row in table:
            if not row or not any(row) or row[0].startswith("#"):
                continue
            if not heading:
                heading = [cell.strip().lower() for cell in row]
                continue
            yield table.line_num, dict(zip(heading, row, strict=False))
        return
    for number, line in enumerate(lines, 1):
        plain = line.strip()
        if plain and not plain.startswith("#"):
            yield number, _json(plain) if plain.startswith("{") else {"value": plain}


def _json(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return {"value": ""}
    return told if isinstance(told, dict) else {"value": ""}


def _planned(told: dict[str, Any], where: str) -> Planned:
    value = told.get("value")
    if not isinstance(value, str) or not value.strip():
        raise BadValue("no value: wanted is a line with a value, or with the property or column `value`")
    techniques = told.get("techniques") or told.get("technique") or ()
    named = re.split(r"[;\s]+", techniques.strip()) if isinstance(techniques, str) else list(techniques)
    for one in named:
        if not isinstance(one, str) or _TECHNIQUE(one) is None:
            raise BadValue(f"{str(one)[:40]!r} is no ATT&CK technique such as T1566.002")
    return Planned(recognise(value), _offset(told.get("offset")), tuple(sorted(set(named))), where)


def _offset(told: object) -> Micros:
    if told is None or told == "":
        return 0
    found = _OFFSET(str(told).strip())
    if found is None:
        raise BadValue(f"{str(told)[:40]!r} is no offset: wanted is a number with s, m, h or d, such as 10m")
    return int(found[1]) * _UNITS[found[2]] * _SECOND


def generate(exercise: str, seed: int) -> Iterator[Planned]:
    """Yields injects without end, of every kind in turn, all of documentation ranges and reserved names."""
    # No secret hangs on it: whoever knows name and seed may know the injects.
    rng = Random(f"{exercise}|{seed}")  # noqa: S311
    while True:
        for kind in (Kind.IPV4, Kind.DOMAIN, Kind.URL, Kind.SHA256, Kind.EMAIL, Kind.IPV6, Kind.MD5):
            yield Planned(_value(exercise, kind, rng))


def _value(exercise: str, kind: Kind, rng: Random) -> Observable:
    if kind is Kind.IPV4:
        return canonical(kind, f"{rng.choice(_NETWORKS)}.{rng.randint(1, 254)}")
    if kind is Kind.IPV6:
        return canonical(kind, f"2001:db8:{rng.randrange(1 << 16):x}::{rng.randrange(1, 1 << 16):x}")
    if kind.algorithm is not None:
        return practice_hash(exercise, kind, rng.randrange(1_000))
    host = f"{rng.choice(_WORDS)}-{rng.randrange(10_000):04}.{rng.choice(_DOMAINS)}"
    if kind is Kind.URL:
        return canonical(kind, f"https://{host}/{rng.choice(_WORDS)}/{rng.randrange(100_000)}")
    return canonical(kind, f"{rng.choice(_WORDS)}@{host}" if kind is Kind.EMAIL else host)
