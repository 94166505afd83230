"""Which values lie together: the network, registrable domain or host that a person would decide about at once."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_network
from typing import TYPE_CHECKING

from threatshare.model import Kind, Observable, host_of

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

_PREFIXES = {4: 24, 6: 48}
"""Prefix lengths that are commonly announced or assigned to one organisation."""


def network_of(observable: Observable) -> str:
    """Gives the /24 or /48 of an address, the registrable domain of a name, URL or mail address; empty for the rest."""
    match observable.kind:
        case Kind.IPV4 | Kind.IPV6:
            return _network(observable.value)
        case Kind.DOMAIN:
            return _registrable(observable.value)
        case Kind.EMAIL:
            return _registrable(observable.value.rpartition("@")[2])
        case Kind.URL:
            host = host_of(observable.value)
            try:
                return _network(host)
            except ValueError:
                return _registrable(host)
        case _:
            return ""


def _network(text: str) -> str:
    network = ip_network(text)
    prefix = _PREFIXES[network.version]
    return str(network if network.prefixlen <= prefix else network.supernet(new_prefix=prefix))


def _registrable(name: str) -> str:
    return _suffixes().privatesuffix(name) or name


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_encoded_idn=False)
