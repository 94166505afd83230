"""Reads what single cells of a list say: a value, a time, a confidence.

Nothing is guessed: a value of another type than the list says is refused, and so is an address with a port unless the
list is of such.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from threatshare.errors import BadValue
from threatshare.model import Kind, Micros, Observable, micros
from threatshare.stix.observables import HASH_KINDS, canonical, recognise, refang
from threatshare.stix.plain_values import plain

Taker = Callable[[str], Observable]
"""Gives the canonical value of a cell; raises BadValue."""

_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind if kind is not Kind.PATTERN}
_PORT = re.compile(r"(.+):[0-9]{1,5}").fullmatch
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?", re.ASCII).fullmatch
_HEX = re.compile(r"[0-9A-Fa-f]+", re.ASCII).fullmatch
_NAME = re.compile(r"(?:[A-Za-z0-9_-]++\.)++[A-Za-z][A-Za-z0-9-]*+", re.ASCII).fullmatch
_STRAY_ZONE = re.compile(r" ?UTC$").sub
_SECONDS = "%Y-%m-%d %H:%M:%S"
_AS_ISO = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", re.ASCII).fullmatch
"""What ``_SECONDS`` and ISO 8601 read alike, the latter in a tenth of the time."""


def taker(kind: str) -> Taker:
    """Gives the function that reads values of a type of ``list.type`` or ``list.types``, defanged ones too."""
    if kind == "ip:port":
        return _address_of
    if kind == "auto":
        return _any
    wanted = frozenset(HASH_KINDS.values()) if kind == "file" else frozenset((_KINDS[kind],))
    return partial(_one_of, kind, wanted)


def _any(text: str) -> Observable:
    return plain(text) or _looked_at(text)


def _one_of(kind: str, wanted: frozenset[Kind], text: str) -> Observable:
    found = plain(text)
    return found if found is not None and found.kind in wanted else _of(kind, text)


def _looked_at(text: str) -> Observable:
    _check_there(text)
    found = _kind_of(text)
    return recognise(text) if found is None else canonical(found, text)


def _of(kind: str, text: str) -> Observable:
    _check_there(text)
    wanted = HASH_KINDS.get(len(text)) if kind == "file" else _KINDS[kind]
    if wanted is None:
        raise BadValue(f"a hash of {len(text)} characters; there are MD5, SHA-1, SHA-256 and SHA-512")
    try:
        return canonical(wanted, text)
    except BadValue:
        undone = refang(text)
        if undone == text:
            raise
        return canonical(wanted, undone)


def _address_of(text: str) -> Observable:
    """Reads an address with a port behind it."""
    _check_there(text)
    found = _PORT(text)
    if found is None:
        raise BadValue(f"{text[:80]!r} is no address with a port")
    address = found[1].strip("[]")
    kind = _kind_of(address)
    if kind not in (Kind.IPV4, Kind.IPV6):
        raise BadValue(f"{address[:80]!r} is no address")
    return canonical(kind, address)


def _check_there(text: str) -> None:
    if not text:
        raise BadValue("nothing stands where the value should be")


def _kind_of(text: str) -> Kind | None:
    """Gives the kinds that can be told at a glance; None where it takes more."""
    if _IPV4(text):
        return Kind.IPV4
    if ":" in text and "/" not in text and _HEX(text.replace(":", "")) and text.count(":") > 1:
        return Kind.IPV6 if len(text) != 17 or text[2] != ":" else None
    if len(text) in HASH_KINDS and _HEX(text):
        return HASH_KINDS[len(text)]
    if _NAME(text):
        return Kind.DOMAIN
    return Kind.URL if text.startswith(("http://", "https://")) and "[" not in text else None


def moment_of(form: str, text: str) -> Micros | None:
    """Reads when a row was last seen, as ``list.seen_format`` says; None where it does not say. Raises BadValue."""
    if text in ("", "None", "null", "-"):
        return None
    try:
        if form == "epoch":
            found = datetime.fromtimestamp(float(text), UTC)
        elif form == "iso":
            found = datetime.fromisoformat(_STRAY_ZONE("", text))
        elif form == _SECONDS and _AS_ISO(text):
            found = datetime.fromisoformat(text)
        else:
            found = datetime.strptime(text, form)  # noqa: DTZ007  what has no zone is UTC, below
        at = micros(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError, OSError) as problem:
        raise BadValue(f"{text[:60]!r} is no time as list.seen_format says ({form})") from problem
    if at < 0:
        raise BadValue(f"{text[:60]!r} lies before 1970")
    return at


def percent_of(text: str) -> int | None:
    """Reads a confidence; None where the row does not say. Raises BadValue."""
    if not text:
        return None
    try:
        found = round(float(text))
    except (ValueError, OverflowError) as problem:
        raise BadValue(f"{text[:60]!r} is no confidence from 0 to 100") from problem
    if not 0 <= found <= 100:
        raise BadValue(f"{text[:60]!r} is no confidence from 0 to 100")
    return found
