"""Finds our own names where they stand inside somebody else's value: in a URL's path or a mail address's local part.

A mail address of ours in a phishing URL names a person who got it; one of our domains in a path says
that we were the target; both also where they are escaped, or written as base64 or hexadecimal. The host itself is
``OwnAssets.owns``'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from threatshare.config import OwnAssets
from threatshare.model import Kind, Observable
from threatshare.policy.decoding import views

MAIL_ADDRESS, ADDRESS, DOMAIN = "a mail address", "an address", "a domain"

_ADDRESS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", re.ASCII)
_ADDRESS_6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.ASCII)
_WITHIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_ENDS_NAME_OF_PERSON = frozenset("@=")
"""``jane@us`` and, where a mailing list writes its recipient into its own address, ``jane=us@list`` (VERP)."""


def mentioned(observable: Observable, own: OwnAssets) -> str | None:
    """Says what of ours a value mentions: a mail address, an address, a domain; None where nothing."""
    value = observable.value
    if observable.kind is Kind.URL:
        # The host stands unescaped, and so at the beginning of every reading of the whole.
        host = value[: value.index("/", value.index("://") + 3)]
        return named([one.removeprefix(host) for one in views(value)[0]], own)
    if observable.kind is Kind.EMAIL:
        return named(views(value.rpartition("@")[0])[0], own, _ENDS_NAME_OF_PERSON)
    return None


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
        if own.networks and any(_owned(match, own) for match in _addresses(lower)):
            found.add(ADDRESS)
    return ADDRESS if ADDRESS in found else DOMAIN if found else None


def _addresses(text: str) -> Iterator[str]:
    yield from _ADDRESS.findall(text)
    if ":" in text:
        yield from _ADDRESS_6.findall(text)


def _before(text: str, name: str) -> Iterator[str]:
    """Yields the character before each place where a name stands by itself or ends a longer name.

    What ends a longer name behind an ``@`` (``jane@mail.us``) is a mail address as well.
    """
    at = text.find(name)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(name) : at + len(name) + 1]
        if before not in _WITHIN_NAME and after not in _WITHIN_NAME:
            yield _before_labels(text, at) if before == "." else before
        at = text.find(name, at + 1)


def _before_labels(text: str, at: int) -> str:
    while at and (text[at - 1] == "." or text[at - 1] in _WITHIN_NAME):
        at -= 1
    return text[at - 1 : at] if at else ""


def _owned(text: str, own: OwnAssets) -> bool:
    try:
        return own.owns_address(ip_address(text))
    except ValueError:
        return False
