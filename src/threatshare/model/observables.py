"""Observables: one canonical value with its kind, the unit that is merged, scored and looked up."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What an observable is: a STIX type, and for files the hash algorithm in STIX spelling."""

    IPV4 = "ipv4-addr"
    IPV6 = "ipv6-addr"
    DOMAIN = "domain-name"
    URL = "url"
    EMAIL = "email-addr"
    MAC = "mac-addr"
    MD5 = "file:MD5"
    SHA1 = "file:SHA-1"
    SHA256 = "file:SHA-256"
    SHA512 = "file:SHA-512"
    PATTERN = "pattern"
    """A pattern kept whole because it is more than one ``=`` comparison; the value is its normalised text."""

    @property
    def stix_type(self) -> str:
        """The STIX type alone, e.g. ``file`` for every hash."""
        return self.value.partition(":")[0]

    @property
    def algorithm(self) -> str | None:
        """The STIX hash algorithm, or None where the observable is no file hash."""
        return self.value.partition(":")[2] or None


class Observable(NamedTuple):
    """One canonical value with its kind: the unit that is merged, scored and looked up.

    A named tuple, since millions are made and hashed on the way in.
    """

    kind: Kind
    value: str
    """Canonical text, see ``stix.observables``; a network is written address/prefix."""


def host_of(url: str) -> str:
    """Gives the host of a canonical URL, an IPv6 address without its brackets; empty where it has none."""
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
