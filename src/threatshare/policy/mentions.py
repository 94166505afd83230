"""Finds our own names where they stand inside somebody else's value: in a URL's path or a mail address's local part.

A mail address of ours in a phishing URL names a person who got it; one of our domains in a path says
that we were the target. The host itself is ``OwnAssets.owns``'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import unquote

from threatshare.config import OwnAssets
from threatshare.model import Kind, Observable

_ADDRESS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", re.ASCII)
_WITHIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_UNQUOTINGS = 8
"""Redirectors escape an address within an address, several times over."""


def mentioned(observable: Observable, own: OwnAssets) -> str | None:
    """Says what of ours a value mentions: a mail address, an address, a domain; None where nothing."""
    if observable.kind is Kind.URL:
        text = observable.value.partition("://")[2].partition("/")[2]
    elif observable.kind is Kind.EMAIL:
        text = observable.value.rpartition("@")[0]
    else:
        return None
    if "." not in text and "%" not in text:
        return None
    text = _plain(text).lower()
    before = {mark for name in (*own.domains, *own.mail_domains) if name in text for mark in _before(text, name)}
    if "@" in before:
        return "a mail address"
    if any(_owned(match, own) for match in _ADDRESS.findall(text)):
        return "an address"
    return "a domain" if before else None


def _plain(text: str) -> str:
    for _ in range(_UNQUOTINGS):
        if "%" not in text or (unquoted := unquote(text)) == text:
            break
        text = unquoted
    return text


def _before(text: str, name: str) -> Iterator[str]:
    """Yields the character before each place where a name stands by itself or ends a longer name."""
    at = text.find(name)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(name) : at + len(name) + 1]
        if before not in _WITHIN_NAME and after not in _WITHIN_NAME:
            yield before
        at = text.find(name, at + 1)


def _owned(text: str, own: OwnAssets) -> bool:
    try:
        return own.owns_address(ip_address(text))
    except ValueError:
        return False
