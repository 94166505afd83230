"""What never goes to another organisation, whatever says that it is bad: ``never-share.toml`` of the node directory.

For what is not ours, and so in no list of own assets, but must not be told: a payroll provider, an investigation that
must not be disturbed, a customer. Our own tools still see it: only leaving is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address, ip_network
from pathlib import Path

from msgspec import Struct

from threatshare.config import MOST_BYTES_OF_VALUES, Address, Network, load_toml
from threatshare.errors import BadValue, ConfigurationError
from threatshare.model import Kind, Observable, host_of
from threatshare.policy.decoding import views
from threatshare.policy.mentions import clear_addresses, hidden_addresses
from threatshare.stix.observables import canonical, recognise, refang

FILE = "never-share.toml"

_HOST_KINDS = frozenset({Kind.IPV4, Kind.IPV6, Kind.DOMAIN})


class NeverShareFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``never-share.toml``; behind each entry a TOML comment may say why it is there, and since when."""

    values: list[str] = []
    """Addresses, names, URLs, mail addresses, hashes; also URLs and mail addresses on an address or name of these."""
    networks: list[str] = []
    """In CIDR form; also what overlaps them."""
    domains: list[str] = []
    """With all names below them."""


@dataclass(frozen=True)
class NeverShare:
    """The list, in canonical spelling."""

    values: frozenset[Observable] = frozenset()
    networks: tuple[Network, ...] = ()
    domains: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is anything on it."""
        return bool(self.values or self.networks or self.domains)

    def names(self, observable: Observable) -> str | None:
        """Says which part of the list a canonical observable is on, or mentions; None where it is on none.

        The answer does not repeat the value, so that it may be logged.
        """
        if not self:
            return None
        if observable in self.values:
            return "a value"
        match observable.kind:
            case Kind.IPV4 | Kind.IPV6:
                return "a network" if self._overlapped(observable.value) else None
            case Kind.DOMAIN:
                return self._host(observable.value)
            case Kind.EMAIL:
                return self._host(observable.value.rpartition("@")[2]) or self.mentioned(observable.value)
            case Kind.URL:
                return self._host(host_of(observable.value)) or self.mentioned(observable.value)
            case Kind.PATTERN:
                return self.mentioned(observable.value)
            case _:
                return None

    def mentioned(self, text: str) -> str | None:
        """Says which part of the list a text mentions, in any reading; None where none."""
        if not self:
            return None
        for reading in views(text)[0]:
            lower = reading.lower()
            if any(_stands_in(value, lower) for value in self._lower_values):
                return "a value"
            if any(_stands_in(name, lower) for name in self.domains):
                return "a domain"
            if self.networks and any(map(self._holds, (*clear_addresses(lower), *hidden_addresses(lower)))):
                return "a network"
        return None

    @cached_property
    def _lower_values(self) -> tuple[str, ...]:
        return tuple(sorted(one.value.lower() for one in self.values))

    def _host(self, host: str) -> str | None:
        if any(Observable(kind, host) in self.values for kind in _HOST_KINDS):
            return "a value"
        if self._overlapped(host):
            return "a network"
        labels = host.split(".")
        below = any(".".join(labels[start:]) in self.domains for start in range(len(labels)))
        return "a domain" if below else None

    def _holds(self, address: Address) -> bool:
        return any(address.version == one.version and address in one for one in self.networks)

    def _overlapped(self, text: str) -> bool:
        if not self.networks:
            return False
        try:
            net = ip_network(text, strict=False) if "/" in text else ip_network(ip_address(text))
        except ValueError:
            return False
        return any(net.version == one.version and net.overlaps(one) for one in self.networks)


def load_never_share(directory: Path) -> NeverShare:
    """Reads ``never-share.toml`` of a node directory; without one nothing is on the list.

    Raises ConfigurationError naming file, key and entry where one cannot be read: an entry that is passed over would
    leave the node open.
    """
    file = directory / FILE
    if not file.exists():
        return NeverShare()
    read = load_toml(file, NeverShareFile, MOST_BYTES_OF_VALUES)
    return NeverShare(
        frozenset(_read_values(read.values, file)),
        tuple(_network(text, file) for text in read.networks),
        frozenset(_domain(text, file) for text in read.domains),
    )


def _read_values(texts: Iterable[str], file: Path) -> Iterable[Observable]:
    for text in texts:
        try:
            yield recognise(text)
        except BadValue as problem:
            raise ConfigurationError(f"{file}: values: {text!r} cannot be read as a value: {problem}") from problem


def _network(text: str, file: Path) -> Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError as problem:
        raise ConfigurationError(f"{file}: networks: {text!r} is no network: {problem}") from problem


def _domain(text: str, file: Path) -> str:
    try:
        return canonical(Kind.DOMAIN, refang(text).removeprefix("*.")).value
    except BadValue as problem:
        raise ConfigurationError(f"{file}: domains: {text!r} is no domain name: {problem}") from problem


def _stands_in(value: str, text: str) -> bool:
    """Tells whether a value stands by itself in a text, or ends a longer name there."""
    at = text.find(value)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(value) : at + len(value) + 1]
        if not (before.isalnum() or before == "-") and not (after.isalnum() or after == "-"):
            return True
        at = text.find(value, at + 1)
    return False
