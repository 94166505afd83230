"""Finds in a text of an exercise the values that may be somebody's: addresses, names, hashes, however they are written.

Safe before convenient: a file name such as ``a.zip`` is a name under a top-level domain too, and a number of eight to
ten digits may be an address. Whoever writes a scenario picks another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from threatshare.config import Address
from threatshare.model import Kind, Observable
from threatshare.policy.decoding import views
from threatshare.policy.mentions import clear_addresses, hidden_addresses
from threatshare.stix.exercise import practice_hashes
from threatshare.triage.benign import documentation

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_DOT = re.compile(r"[\[({]\s?(?:\.|dot)\s?[\])}]|[\u3002\uff0e\uff61]")
_COLON = re.compile(r"[\[({]:[\])}]")
_NAME = re.compile(r"[^\W_](?:[\w-]*[^\W_])?(?:\.[^\W_](?:[\w-]*[^\W_])?)+")
_HASH = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{128}|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9a-f])", re.ASCII)
_HASH_KINDS = {32: Kind.MD5, 40: Kind.SHA1, 64: Kind.SHA256, 128: Kind.SHA512}
_RESERVED = (".example", ".test", ".invalid", ".example.com", ".example.net", ".example.org")


def somebodys(text: str, exercise: str) -> str | None:
    """Says what a text names that may be somebody's, in words and without the value; None where nothing.

    Escapes, base64 and hexadecimal are undone first; what is nested too deep to be read is somebody's too.
    """
    readings, left = views(text)
    if left:
        return "more encodings within each other than are looked into"
    for one in readings:
        plain = _COLON.sub(":", _DOT.sub(".", one)).lower()
        if any(not _is_nobodys(found) for found in addresses(plain)):
            return "an address of no documentation range"
        if any(map(_is_registered, _NAME.findall(plain))):
            return "a name of no reserved domain"
        hashes = {Observable(_HASH_KINDS[len(found)], found) for found in _HASH.findall(plain)}
        if hashes and not hashes <= practice_hashes(exercise):
            return "a hash that is not of this exercise"
    return None


def names_address(text: str) -> bool:
    """Tells whether a host names an address of no documentation range among its labels."""
    return any(not _is_nobodys(found) for found in addresses(text))


def addresses(text: str) -> Iterator[Address]:
    """Yields every address that a text in lower case spells out or may mean."""
    yield from clear_addresses(text)
    yield from hidden_addresses(text)


def _is_nobodys(address: Address) -> bool:
    kind = Kind.IPV4 if isinstance(address, IPv4Address) else Kind.IPV6
    return documentation(Observable(kind, str(address))) is not None


def _is_registered(name: str) -> bool:
    if f".{name}".endswith(_RESERVED):
        return False
    last = name.rpartition(".")[2]
    return last.startswith("xn--") or _suffixes().publicsuffix(name) is not None


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, accept_encoded_idn=False)
