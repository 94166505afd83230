"""Finds our own names where they stand inside somebody else's value: in a URL's path or a mail address's local part.

A mail address of ours in a phishing URL names a person who got it; one of our domains in a path says
that we were the target; both also where they are escaped, or written as base64 or hexadecimal. So they are in a host's
labels before somebody else's domain; whether the host itself is ours, ``OwnAssets.owns`` says.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from threatshare.config import Address, OwnAssets
from threatshare.model import Kind, Observable
from threatshare.policy.decoding import views

MAIL_ADDRESS, ADDRESS, DOMAIN = "a mail address", "an address", "a domain"

_ADDRESS = re.compile(r"\d(?<!\d\d)(?<!\d\.\d)\d{0,2}(?:\.\d{1,3}){3}(?!\d)(?!\.\d)", re.ASCII)
_ADDRESS_6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.ASCII)
_NUMBERS = re.compile(r"\d(?<!\d\d)\d{0,2}(?:[._-]\d{1,3}){3,}(?!\d)", re.ASCII)
_BETWEEN_NUMBERS = re.compile("[._-]").split
_DOTTED = re.compile(r"\d+(?:\.\d+){3}", re.ASCII).fullmatch
_REVERSE = ".in-addr.arpa"
_WHOLE = re.compile(r"[1-9](?<![0-9a-z]{2})\d{7,9}(?![0-9a-z])", re.ASCII)
_WHOLE_HEX = re.compile(r"0x[0-9a-f]{8}(?![0-9a-z])", re.ASCII)
_TELLING = 8
"""Characters of base64 that nothing has by chance."""
_TO_URL = str.maketrans("+/", "-_")
_ADDRESS_HOST = re.compile(r"[a-z]+://(?:[0-9.]+|\[[0-9a-f:.]+\])(?::\d+)?(?=/)", re.ASCII).match
_WITHIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_ENDS_NAME_OF_PERSON = frozenset("@=")
"""``jane@us`` and, where a mailing list writes its recipient into its own address, ``jane=us@list`` (VERP)."""


def mentioned(observable: Observable, own: OwnAssets) -> str | None:
    """Says what of ours a value mentions: a mail address, an address, a domain; None where nothing."""
    value = observable.value
    if observable.kind is Kind.URL:
        # Unescaped, and so at the beginning of every reading of the whole.
        host = _ADDRESS_HOST(value)
        known = host[0] if host else value[: _posing(value, value.index("://") + 3, own)]
        return named([one.removeprefix(known) for one in views(value)[0]] if known else views(value)[0], own)
    if observable.kind is Kind.DOMAIN:
        return named([value[_posing(value, 0, own) :]], own)
    if observable.kind is Kind.EMAIL:
        return named(views(value.rpartition("@")[0])[0], own, _ENDS_NAME_OF_PERSON)
    return None


def _posing(value: str, start: int, own: OwnAssets) -> int:
    """Tells where a name of ours ends with which a host begins, zero where none does.

    A host that poses as ours, ``us.evil.example``, is an attack on us like any other; ``jane.us.evil.example`` names
    somebody.
    """
    for name in (*own.domains, *own.mail_domains):
        if value.startswith(name + ".", start):
            return start + len(name)
    return 0


def named(texts: Iterable[str], own: OwnAssets, before_domain: frozenset[str] = frozenset("@")) -> str | None:
    """Says what of ours any of some texts names, the most telling first; None where nothing.

    ``before_domain``: characters that between a name and a domain of ours make a person's mail address of both.
    """
    found: set[str] = set()
    for text in texts:
        lower = text.lower()
        marks = {mark for name in (*own.domains, *own.mail_domains) if name in lower for mark in _before(lower, name)}
        if not before_domain.isdisjoint(marks):
            return MAIL_ADDRESS
        if marks:
            found.add(DOMAIN)
        if own.networks and any(map(own.owns_address, clear_addresses(lower))):
            found.add(ADDRESS)
    return ADDRESS if ADDRESS in found else DOMAIN if found else None


def clear_addresses(text: str) -> Iterator[Address]:
    """Yields the addresses that a text in lower case spells out, zeros before them and a full stop behind allowed.

    Of an IPv6 address that stands for an IPv4 address the latter is given as well (RFC 4291 §2.5.5.2).
    """
    for one in _ADDRESS.findall(text):
        if (address := _of_parts(one.split("."))) is not None:
            yield address
    if text.count(":") > 1:
        for one in _ADDRESS_6.findall(text):
            with suppress(ValueError):
                six = IPv6Address(one)
                yield six
                if six.ipv4_mapped is not None:
                    yield six.ipv4_mapped


def hidden_addresses(text: str) -> Iterator[Address]:
    """Yields the IPv4 addresses that a text in lower case may mean: within a longer row of numbers, with other
    characters between the numbers, backwards below ``in-addr.arpa``, as one decimal or hexadecimal number."""
    for match in _NUMBERS.finditer(text):
        backwards = text.startswith(_REVERSE, match.end())
        if _DOTTED(match[0]) is not None and not backwards:
            continue
        parts = _BETWEEN_NUMBERS(match[0])
        for four in zip(parts, parts[1:], parts[2:], parts[3:], strict=False):
            if (address := _of_parts(four[::-1] if backwards else four)) is not None:
                yield address
    for whole in _WHOLE.findall(text):
        if int(whole) < 2**32:
            yield IPv4Address(int(whole))
    if "0x" in text:
        yield from (IPv4Address(int(whole, 16)) for whole in _WHOLE_HEX.findall(text))


def traces(text: str, own: OwnAssets) -> Iterator[str]:
    """Yields what may mean an address or a domain of ours without spelling it out.

    A domain with hyphens or underscores for its dots, or within a token of base64 whose capitals were lost, as in a
    host name.
    """
    lower = text.lower()
    if own.networks:
        for address in hidden_addresses(lower):
            if own.owns_address(address):
                yield str(address)
    plain, folded = _spelled(own.domains, own.mail_domains)
    for one in plain:
        if one in lower and _is_word(lower, one):
            yield one
    for one in folded:
        if one in lower:
            yield one


@lru_cache(maxsize=4)
def _spelled(domains: tuple[str, ...], mail_domains: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Gives names with other characters for their dots, and what of them in base64 is the same wherever they begin."""
    folded = []
    every = dict.fromkeys((*domains, *mail_domains))
    # Where a name does not stand, none below it does.
    names = [name for name in every if not any(name.endswith("." + other) for other in every)]
    for name in names:
        for pad in range(3):
            rest = (pad + len(name)) % 3
            token = b64encode(b"\0" * pad + name.encode()).decode()
            middle = token[4 if pad else 0 : len(token) - 4 if rest else None]
            if len(middle) >= _TELLING:
                folded.append(middle.lower().translate(_TO_URL))
    return tuple(name.replace(".", mark) for name in names for mark in "-_"), tuple(folded)


def _is_word(text: str, name: str) -> bool:
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if not text[end : end + 1].isalnum() and not (at and text[at - 1].isalnum()):
            return True
        at = text.find(name, at + 1)
    return False


def _before(text: str, name: str) -> Iterator[str]:
    """Yields the character before each place where a name stands by itself or ends a longer name.

    What ends a longer name behind an ``@`` (``jane@mail.us``) is a mail address as well. One pass: labels before a
    place are not gone over again for the next one.
    """
    at = text.find(name)
    start = passed = 0
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(name) : at + len(name) + 1]
        begin = at
        while begin > passed and (text[begin - 1] == "." or text[begin - 1] in _WITHIN_NAME):
            begin -= 1
        # Where labels go back to the last place without a break, they begin where that one's do.
        start = start if begin == passed else begin
        passed = at
        if before not in _WITHIN_NAME and after not in _WITHIN_NAME:
            yield (text[start - 1 : start] if start else "") if before == "." else before
        at = text.find(name, at + 1)


def _of_parts(parts: Sequence[str]) -> IPv4Address | None:
    numbers = [int(part) for part in parts]
    return IPv4Address(bytes(numbers)) if max(numbers) < 256 else None
