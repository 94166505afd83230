"""Values that are never evidence of an attack, whoever says so: reserved ranges and names, empty files, bare suffixes.

The tables are explicit: ``ipaddress`` calls multicast and deprecated relay addresses global and
shared address space neither private nor global, so its flags do not answer this question. Soft lists
(busy sites, clouds, shorteners) are another matter: attackers use those.

Everything here blocks in every node, save what ``documentation`` names: ranges and names set aside for
examples, which demo and exercise nodes let through.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_pton

from threatshare.config import Purpose
from threatshare.model import Kind, Observable, host_of
from threatshare.triage.public_suffixes import is_public_suffix

NARROWEST_PREFIX = {4: 16, 6: 32}
"""Networks wider than this hold too many strangers to be an indicator (sharing rules §4.1)."""

_DOCUMENTATION_RANGES = {
    "192.0.2.0/24": "TEST-NET-1, RFC 5737",
    "198.51.100.0/24": "TEST-NET-2, RFC 5737",
    "203.0.113.0/24": "TEST-NET-3, RFC 5737",
    "2001:db8::/32": "documentation, RFC 3849",
    "3fff::/20": "documentation, RFC 9637",
}

_RESERVED_RANGES = {
    # IANA IPv4 special-purpose address registry (RFC 6890 and its successors), multicast (RFC 5771).
    "0.0.0.0/8": "this network, RFC 791",
    "10.0.0.0/8": "private use, RFC 1918",
    "100.64.0.0/10": "shared address space, RFC 6598",
    "127.0.0.0/8": "loopback, RFC 1122",
    "169.254.0.0/16": "link local, RFC 3927",
    "172.16.0.0/12": "private use, RFC 1918",
    "192.0.0.0/24": "IETF protocol assignments, RFC 6890",
    "192.31.196.0/24": "AS112, RFC 7535",
    "192.52.193.0/24": "AMT relay anycast, RFC 7450",
    "192.88.99.0/24": "6to4 relay anycast, RFC 7526",
    "192.168.0.0/16": "private use, RFC 1918",
    "192.175.48.0/24": "AS112, RFC 7534",
    "198.18.0.0/15": "benchmarking, RFC 2544",
    "224.0.0.0/4": "multicast, RFC 5771",
    "240.0.0.0/4": "reserved, RFC 1112",
    # IANA IPv6 special-purpose address registry.
    "::/128": "unspecified address, RFC 4291",
    "::1/128": "loopback, RFC 4291",
    "::ffff:0:0/96": "IPv4-mapped, RFC 4291",
    "64:ff9b::/96": "IPv4-IPv6 translation, RFC 6052",
    "64:ff9b:1::/48": "IPv4-IPv6 translation, RFC 8215",
    "100::/64": "discard only, RFC 6666",
    "2001::/23": "IETF protocol assignments, RFC 2928",
    "2002::/16": "6to4, RFC 3056",
    "2620:4f:8000::/48": "AS112, RFC 7534",
    "5f00::/16": "segment routing, RFC 9602",
    "fc00::/7": "unique local, RFC 4193",
    "fe80::/10": "link local, RFC 4291",
    "fec0::/10": "site local, RFC 3879",
    "ff00::/8": "multicast, RFC 4291",
}

_DOCUMENTATION_NAMES = {
    "example": "RFC 2606",
    "test": "RFC 2606",
    "example.com": "RFC 2606",
    "example.net": "RFC 2606",
    "example.org": "RFC 2606",
}
"""Only what is registered as such: ``example`` under any other suffix can be bought by an attacker."""

_RESERVED_NAMES = {
    "invalid": "RFC 2606",
    "localhost": "RFC 6761",
    "local": "multicast DNS, RFC 6762",
    "home.arpa": "RFC 8375",
    "arpa": "infrastructure, RFC 3172",
    "alt": "RFC 9476",
    # Names that networks use inside, RFC 6762 appendix G; none is delegated.
    "internal": "private network, RFC 6762",
    "intranet": "private network, RFC 6762",
    "private": "private network, RFC 6762",
    "corp": "private network, RFC 6762",
    "home": "private network, RFC 6762",
    "lan": "private network, RFC 6762",
    "localdomain": "private network",
}

_HASHES = {
    "d41d8cd98f00b204e9800998ecf8427e": "empty file",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709": "empty file",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": "empty file",
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e": "empty file",
    "44d88612fea8a8f36de82e1278abb02f": "EICAR test file",
    "3395856ce81f2b7382dee72602f798b642f14140": "EICAR test file",
    "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f": "EICAR test file",
    "cc805d5fab1fd71a4ab352a9c533e65fb2d5b885518f4e565e68847223b8e6b8"
    "5cb48f3afad842726d99239c9e36505c64b0dc9a061d9e507d833277ada336ab": "EICAR test file",
}

_MACS = {"00:00:00:00:00:00": "no address", "ff:ff:ff:ff:ff:ff": "broadcast"}
_DOCUMENTATION_MACS = "00:00:5e:00:53:"
"""RFC 9542 §2.1.1."""


def hard_benign(observable: Observable) -> str | None:
    """Names the rule that makes a canonical observable no evidence of an attack; None where none does.

    Names documentation values too; see ``known_benign`` for what a node of a given purpose lets through.
    """
    kind, value = observable
    rule = _RULES.get(kind)
    return None if rule is None else rule(value)


def documentation(observable: Observable) -> str | None:
    """Names the documentation range or name that holds a canonical observable; None where none does.

    A network must lie wholly inside: one that only overlaps holds real addresses as well.
    """
    kind, value = observable.kind, observable.value
    if kind is Kind.MAC:
        return _documentation_mac(value)
    if kind is Kind.IPV4 or kind is Kind.IPV6:
        return _documentation_network(value)
    if kind is Kind.DOMAIN:
        return _suffix_of(value, _DOCUMENTATION_NAMES)
    if kind is Kind.URL or kind is Kind.EMAIL:
        host = _host(observable)
        return _documentation_network(host) if _is_address(host) else _suffix_of(host, _DOCUMENTATION_NAMES)
    return None


def known_benign(observable: Observable, purpose: Purpose) -> str | None:
    """Names the rule that makes an observable worthless on a node of this purpose; None where none does.

    Demo and exercise nodes let documentation ranges and names through, and nothing else of the tables.
    """
    if purpose != "live" and documentation(observable) is not None:
        return None
    return hard_benign(observable)


class _Ranges:
    """Ranges of one address family that do not overlap each other, found by bisection."""

    def __init__(self, version: int) -> None:
        rows = sorted(
            (int(net.broadcast_address), int(net.network_address), f"{net} ({name})", net in _DOCUMENTATION_NETWORKS)
            for net, name in _NETWORKS.items()
            if net.version == version
        )
        self._lasts = [row[0] for row in rows]
        self._rows = rows

    def overlapping(self, first: int, last: int) -> tuple[int, int, str, bool] | None:
        """Gives the lowest range that shares an address with first to last: (last, first, name, documentation)."""
        place = bisect_left(self._lasts, first)
        if place < len(self._rows) and self._rows[place][1] <= last:
            return self._rows[place]
        return None


_DOCUMENTATION_NETWORKS = frozenset(ip_network(text) for text in _DOCUMENTATION_RANGES)
_NETWORKS = {ip_network(text): name for text, name in (_RESERVED_RANGES | _DOCUMENTATION_RANGES).items()}
_RANGES_4, _RANGES_6 = _Ranges(4), _Ranges(6)
_FREE = frozenset(
    str(octet) for octet in range(256) if _RANGES_4.overlapping(octet << 24, (octet + 1 << 24) - 1) is None
)
"""First numbers of IPv4 addresses of which none is reserved: most addresses are told by theirs."""
_NAMES = _RESERVED_NAMES | _DOCUMENTATION_NAMES


def _span(value: str) -> tuple[_Ranges, int, int]:
    """Gives the table of its family, the first and the last address of a canonical address or network."""
    if "/" in value:
        network: IPv4Network | IPv6Network = ip_network(value, strict=False)
        ranges = _RANGES_6 if ":" in value else _RANGES_4
        return ranges, int(network.network_address), int(network.broadcast_address)
    if ":" in value:
        address = int.from_bytes(inet_pton(AF_INET6, value))
        return _RANGES_6, address, address
    address = int.from_bytes(inet_pton(AF_INET, value))
    return _RANGES_4, address, address


def _reserved_network(value: str) -> str | None:
    if value.partition(".")[0] in _FREE and "/" not in value:
        return None
    ranges, first, last = _span(value)
    found = ranges.overlapping(first, last)
    if found is not None:
        return found[2]
    if ranges is _RANGES_6 and (first >> 125 != 1 or last >> 125 != 1):
        return "outside 2000::/3, where no address is assigned (IANA IPv6 address space)"
    if "/" not in value:
        return None
    narrowest = NARROWEST_PREFIX[6 if ":" in value else 4]
    return f"network wider than /{narrowest}" if int(value.partition("/")[2]) < narrowest else None


def _documentation_network(value: str) -> str | None:
    ranges, first, last = _span(value)
    found = ranges.overlapping(first, last)
    if found is not None and found[3] and found[1] <= first and last <= found[0]:
        return found[2]
    return None


def _reserved_name(value: str) -> str | None:
    found = _suffix_of(value, _NAMES)
    if found is None and is_public_suffix(value):
        return "public suffix (publicsuffix.org)"
    return found


def _reserved_host(host: str) -> str | None:
    """Not by bare public suffixes: what lies below such a host is not the host."""
    return _reserved_network(host) if _is_address(host) else _suffix_of(host, _NAMES)


def _of_url(value: str) -> str | None:
    return _reserved_host(host_of(value))


def _of_email(value: str) -> str | None:
    return _reserved_host(value.rpartition("@")[2])


def _of_mac(value: str) -> str | None:
    return _MACS.get(value) or _documentation_mac(value)


def _documentation_mac(value: str) -> str | None:
    return "documentation, RFC 9542" if value.startswith(_DOCUMENTATION_MACS) else None


def _is_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _host(observable: Observable) -> str:
    if observable.kind is Kind.EMAIL:
        return observable.value.rpartition("@")[2]
    return host_of(observable.value)


def _suffix_of(name: str, table: dict[str, str]) -> str | None:
    suffix = name
    while suffix:
        if suffix in table:
            return f"{suffix} ({table[suffix]})"
        suffix = suffix.partition(".")[2]
    return None


_RULES: Mapping[Kind, Callable[[str], str | None]] = {
    Kind.IPV4: _reserved_network,
    Kind.IPV6: _reserved_network,
    Kind.DOMAIN: _reserved_name,
    Kind.URL: _of_url,
    Kind.EMAIL: _of_email,
    Kind.MAC: _of_mac,
    **{kind: _HASHES.get for kind in Kind if kind.algorithm},
}
"""What names the rule for a value of a kind; there is none for patterns."""
