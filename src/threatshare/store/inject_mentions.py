"""Values that hold an inject of a running exercise within them: in the query of a URL, in a name's labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from threatshare.model import Kind, Observable, host_of
from threatshare.policy.decoding import views
from threatshare.policy.mentions import clear_addresses
from threatshare.store.connection import Connection
from threatshare.store.keys import CODE_KIND

_HOLDING = frozenset({Kind.URL, Kind.EMAIL, Kind.DOMAIN, Kind.PATTERN})
"""Kinds whose values can hold another one."""
_RUN = re.compile(r"[0-9a-z_-]+(?:\.[0-9a-z_-]+)*", re.ASCII)
_MAIL = re.compile(r"[^\s/?&=;:,<>()\"'@]+@[0-9a-z.-]+", re.ASCII)


def holding_injects(conn: Connection, observables: Iterable[Observable]) -> dict[Observable, str]:
    """Gives the values that hold an inject anywhere in what they say when decoded, each with its running exercise.

    Where no exercise runs this is one question to the store.
    """
    injects: dict[str, str] = {}
    urls: dict[str, list[str]] = {}
    for kind, value, exercise in conn.execute(
        "SELECT kind, value, exercise FROM exercise_inject JOIN exercise ON name = exercise WHERE ended IS NULL"
    ):
        if CODE_KIND[kind] is Kind.URL:
            urls.setdefault(host_of(value), []).append(value)
        injects[value] = exercise
    found: dict[Observable, str] = {}
    if not injects:
        return found
    for one in observables:
        if one.kind in _HOLDING:
            inject = next((x for x in _named(one.value, injects, urls) if x != one.value), None)
            if inject is not None:
                found[one] = injects[inject]
    return found


def _named(value: str, injects: dict[str, str], urls: dict[str, list[str]]) -> Iterator[str]:
    for text in views(value)[0]:
        lower = text.lower()
        addresses = {str(one) for one in clear_addresses(lower)} if ":" in lower else set()
        words = {*_parts(lower), *addresses}
        yield from words & injects.keys()
        yield from injects.keys() & set(_MAIL.findall(lower))
        for host in words & urls.keys():
            # A scheme or the last slash may have been lost on the way into another URL.
            yield from (url for url in urls[host] if url.lower().partition("://")[2].rstrip("/") in lower)


def _parts(text: str) -> Iterator[str]:
    """Yields every run of labels within every dotted name of a text."""
    for run in _RUN.findall(text):
        labels = run.split(".")
        for begin in range(len(labels)):
            for end in range(begin + 1, len(labels) + 1):
                yield ".".join(labels[begin:end])
