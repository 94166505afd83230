"""``readers/NAME.toml``: where a site's own JSON or CSV says what, written by the site, read closed and typed.

A field is a path such as ``alert.source.ip``. Lists on the way are walked, so that ``hits[].ip`` and ``hits.ip`` mean
every hit; a key that itself holds dots is found too. In a table a field is a column.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

from threatshare.config import Percent, Positive, TlpLabel, load_toml
from threatshare.errors import ConfigurationError
from threatshare.findings.formats.columns import KINDS
from threatshare.findings.roles import Began
from threatshare.model import Role

READERS_DIR = "readers"

MAX_STEPS = 12
"""Steps of a path at most."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}").fullmatch
_STEP = re.compile(r"[^.\[\]]+(?:\[\])?")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)").fullmatch

KIND_WORDS = tuple(sorted({*KINDS} & set("ip ipv4 ipv6 domain url email hash md5 sha1 sha256 sha512".split())))
"""What ``kind`` may be."""

Words = Annotated[list[str], Meta(min_length=1)]


class Recognise(Struct, frozen=True, forbid_unknown_fields=True):
    """``[recognise]``: how a file shows that it is this format; without it, it is read only with ``--format``."""

    keys: list[str] = []
    """JSON: keys that all stand in the first 64 KiB, each without the path to it."""
    columns: list[str] = []
    """CSV: columns that the header all has."""


class Time(Struct, frozen=True, forbid_unknown_fields=True):
    """``[time]``: when it was seen; without it, a finding has the file's own time."""

    seen: str = ""
    """The field of the first observation."""
    last: str = ""
    """The field of the last one, where there are two."""
    format: str = ""
    """``rfc3339``, ``epoch`` (seconds, milli- or microseconds), or strptime's signs such as ``%d/%b/%Y %H:%M:%S``;
    empty: either of the first two."""
    zone: str = "UTC"
    """Time zone of times that state none: an IANA name such as ``Europe/Vienna``, or an offset such as ``+02:00``."""


class Confidence(Struct, frozen=True, forbid_unknown_fields=True):
    """``[confidence]``: how sure the tool is."""

    field: str = ""
    """The field that says it."""
    words: dict[str, Percent] = {}
    """The tool's words and the number, 0 to 100, that each stands for."""
    out_of: Positive = 100
    """The highest number of the tool's scale, where it writes numbers."""


class Severity(Struct, frozen=True, forbid_unknown_fields=True):
    """``[severity]``: how bad the tool thinks it is; it decides what counts, and is not kept."""

    field: str = ""
    """The field that says it."""
    words: dict[str, Percent] = {}
    """The tool's words and the number, 0 to 100, that each stands for."""
    out_of: Positive = 100
    """The highest number of the tool's scale, where it writes numbers."""
    at_least: Percent = 0
    """Records below are passed over."""


class Marking(Struct, frozen=True, forbid_unknown_fields=True):
    """``[marking]``: with whom a record may be shared."""

    field: str = ""
    """The field that says it; the most restrictive of several counts."""
    words: dict[str, TlpLabel] = {}
    """The tool's words and the TLP label that each stands for; TLP labels themselves are known."""


class Connection(Struct, frozen=True, forbid_unknown_fields=True):
    """``[connection]``: two ends; the one-sided rule says which is the attacker or c2 server, if one is."""

    source: str = ""
    """The field with the address of one end."""
    destination: str = ""
    """The field with the address of the other."""
    initiator: Literal["source", "destination", "unknown"] = "unknown"
    """Which end opened the connection; ``unknown`` holds what is outside."""
    unless: dict[str, Words] = {}
    """Fields and their words: with one of them the ends say nothing, e.g. where a list of addresses matched."""


class Value(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[value]]``: a field that holds values, and the part that they play."""

    field: str
    """Where they stand."""
    kind: str | None = None
    """What they are: ip, domain, url, email, hash, md5, sha1, sha256 ...; none: told by their form."""
    role: str | None = None
    """The part they always play: attacker, c2, payload, phish-sender, known-indicator, victim-asset, unknown ..."""
    role_field: str | None = None
    """The field that says it, in the same object as the values where their paths agree."""
    roles: dict[str, str] = {}
    """The tool's words in that field and the role that each stands for; what is not here is held."""
    split: str | None = None
    """The sign between several values in one text."""
    when: dict[str, Words] = {}
    """Fields and their words: only then the values count."""


class FieldMap(Struct, frozen=True, forbid_unknown_fields=True):
    """``readers/NAME.toml``: a site's own format."""

    format: Literal["json", "csv"]
    """What the files are."""
    records: str | None = None
    """JSON: the name of the array that wraps the records, as in ``{"results": [...]}``."""
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    """CSV: the sign between cells."""
    comment: str = ""
    """CSV: how lines begin that are no rows; empty: every line is one."""
    title: str = ""
    """The field with the tool's own name for it; it never leaves the node."""
    techniques: str = ""
    """The field with ATT&CK technique ids, alone or within text."""
    count: str = ""
    """The field with the number of events that a record stands for."""
    recognise: Recognise = Recognise()
    time: Time = Time()
    confidence: Confidence = Confidence()
    severity: Severity = Severity()
    marking: Marking = Marking()
    connection: Connection = Connection()
    value: list[Value] = []
    when: dict[str, Words] = {}
    """Fields and their words: only records with one of the words in each are findings."""
    unless: dict[str, Words] = {}
    """Fields and their words: records with one of them are none, e.g. what an analyst closed as false."""


def load_field_map(file: Path) -> FieldMap:
    """Reads one field map; raises ConfigurationError with file, key and what was wanted."""
    if _NAME(file.stem) is None:
        raise ConfigurationError(
            f"{file}: the file's name is the reader's: small letters, digits and hyphens, at most 41"
        )
    read = load_toml(file, FieldMap)
    first = next(_problems(read), None)
    if first is not None:
        raise ConfigurationError(f"{file}: {first[0]}: {first[1]}")
    return read


def folded(text: str) -> str:
    """Folds a word of a tool: case and blanks do not count."""
    return " ".join(text.casefold().split())


@lru_cache(maxsize=4_096)
def steps_of(path: str) -> tuple[str, ...]:
    """Splits a path into the keys on the way; brackets of lists fall away, for lists are walked in any case."""
    return tuple(step.removesuffix("[]") for step in path.split("."))


def zone_of(name: str) -> tzinfo | None:
    """Gives a time zone by its IANA name or offset; None where there is none of that name."""
    if name == "UTC":
        return UTC
    if (found := _OFFSET(name)) is not None:
        size = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-size if found[1] == "-" else size) if size < timedelta(hours=24) else None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


BEGAN: Mapping[str, Began] = {one.value: one for one in Began}
_ROLES = tuple(role.value for role in Role)

Problem = tuple[str, str]
"""A key, and what is wrong with it."""


def _problems(read: FieldMap) -> Iterator[Problem]:
    """Yields what is wrong with a map beyond the types of its keys."""
    ends = (read.connection.source, read.connection.destination)
    if read.connection != Connection() and not all(ends):
        yield "connection", "wanted both source and destination"
    if not read.value and not all(ends):
        yield "value", "nothing to read: wanted at least one [[value]], or [connection] with source and destination"
    for key, given, field in (
        ("time.seen", read.time != Time(), read.time.seen),
        ("confidence.field", read.confidence != Confidence(), read.confidence.field),
        ("severity.field", read.severity != Severity(), read.severity.field),
        ("marking.field", read.marking != Marking(), read.marking.field),
    ):
        if given and not field:
            yield key, "wanted: the other keys of its table say how to read it, but not where it stands"
    for key, path in _paths(read):
        yield from _path_problems(key, path, read.format)
    for key, words in _word_lists(read):
        if len({folded(word) for word in words}) < len(words):
            yield key, "two of its words differ in nothing but case or blanks"
    yield from _format_problems(read)
    yield from _time_problems(read.time)
    for number, one in enumerate(read.value):
        yield from _value_problems(f"value[{number}]", one)


def _paths(read: FieldMap) -> Iterator[tuple[str, str]]:
    named = {
        "title": read.title,
        "techniques": read.techniques,
        "count": read.count,
        "time.seen": read.time.seen,
        "time.last": read.time.last,
        "confidence.field": read.confidence.field,
        "severity.field": read.severity.field,
        "marking.field": read.marking.field,
        "connection.source": read.connection.source,
        "connection.destination": read.connection.destination,
    }
    yield from ((key, path) for key, path in named.items() if path)
    yield from (("when", path) for path in read.when)
    yield from (("unless", path) for path in read.unless)
    yield from (("connection.unless", path) for path in read.connection.unless)
    for number, one in enumerate(read.value):
        yield f"value[{number}].field", one.field
        if one.role_field is not None:
            yield f"value[{number}].role_field", one.role_field
        yield from ((f"value[{number}].when", path) for path in one.when)


def _path_problems(key: str, path: str, form: str) -> Iterator[Problem]:
    if form == "csv":
        if not path.strip():
            yield key, "wanted the name of a column"
    elif not all(_STEP.fullmatch(step) for step in path.split(".")):
        yield key, f"{path!r} was given, wanted a path such as a.b.c or hits[].ip; lists are read as a whole"
    elif len(steps_of(path)) > MAX_STEPS:
        yield key, f"{path!r} was given, wanted at most {MAX_STEPS} steps"


def _word_lists(read: FieldMap) -> Iterator[tuple[str, Collection[str]]]:
    for name in ("confidence", "severity", "marking"):
        yield f"{name}.words", getattr(read, name).words
    for number, one in enumerate(read.value):
        yield f"value[{number}].roles", one.roles


def _format_problems(read: FieldMap) -> Iterator[Problem]:
    if read.format == "csv":
        if read.recognise.keys:
            yield "recognise.keys", "are for JSON: wanted columns, the names in the table's header"
        if read.records is not None:
            yield "records", "is for JSON: a table has no wrapping array"
        return
    if read.recognise.columns:
        yield "recognise.columns", "are for CSV: wanted keys"
    if read.comment:
        yield "comment", "is for CSV: JSON has no comments"


def _time_problems(time: Time) -> Iterator[Problem]:
    if zone_of(time.zone) is None:
        yield (
            "time.zone",
            f"{time.zone!r} was given, wanted UTC, an offset such as +02:00, or a zone that this machine knows, "
            "such as Europe/Vienna",
        )
    if time.format in ("", "rfc3339", "epoch"):
        return
    try:
        read = datetime.strptime(datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC).strftime(time.format), time.format)  # noqa: DTZ007
        usable = (read.year, read.month, read.day) == (2026, 5, 4)
    except (ValueError, re.error):
        usable = False
    if not usable:
        yield (
            "time.format",
            f"{time.format!r} was given, wanted rfc3339, epoch, or strptime's signs with year, month and day",
        )


def _value_problems(place: str, one: Value) -> Iterator[Problem]:
    if one.kind is not None and one.kind not in KIND_WORDS:
        yield f"{place}.kind", _wanted(one.kind, KIND_WORDS)
    if (one.role is None) == (one.role_field is None):
        yield place, "wanted either role, or role_field with a table of roles"
    if one.role is not None and one.role not in _ROLES:
        yield f"{place}.role", _wanted(one.role, _ROLES)
    if (one.role_field is None) != (not one.roles):
        yield f"{place}.roles", "wanted role_field and the table roles together"
    for word, role in one.roles.items():
        if role not in _ROLES:
            yield f"{place}.roles.{word}", _wanted(role, _ROLES)
    if one.split == "":
        yield f"{place}.split", "wanted the sign between values, or no such key"


def _wanted(given: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(given, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{given!r} was given, wanted one of {', '.join(known)}{hint}"
