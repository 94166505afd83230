"""``own-assets.toml``: our networks, domains and mail domains, which never leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

from msgspec import Struct

from threatshare.config.node_file import load_settings
from threatshare.config.toml_files import MOST_BYTES_OF_VALUES, load_toml
from threatshare.errors import ConfigurationError
from threatshare.model import Kind, Observable, host_of

ASSETS_FILE = "own-assets.toml"


class AssetsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """``own-assets.toml``."""

    networks: list[str] = []
    """Public networks of ours in CIDR form; internal ranges are known."""
    domains: list[str] = []
    """Domains of ours, with all names below them."""
    mail_domains: list[str] = []
    """What stands behind the @ of our mail addresses."""
    mail_servers: list[str] = []
    """Names of our mail servers, as they stand after ``by`` in the Received lines that they write."""
    organisations: list[str] = []
    """Ids and names of ours: the UUID of our organisation in MISP, STIX identity ids. Names count only in files without
    an id; the node's own are known."""
    file_hashes: list[str] = []
    """MD5, SHA-1, SHA-256 or SHA-512 of files of ours."""
    declared_empty: bool = False
    """True: this organisation states that it has nothing to protect here."""


Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_INTERNAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)
"""Addresses that are inside every organisation's walls (RFC 1918, 6598, 1122, 3927, 4193, 4291)."""


@dataclass(frozen=True)
class OwnAssets:
    """What is ours, as nothing but configuration can tell."""

    networks: tuple[Network, ...] = ()
    domains: tuple[str, ...] = ()
    mail_domains: tuple[str, ...] = ()
    declared_empty: bool = False
    mail_servers: tuple[str, ...] = ()
    organisations: frozenset[str] = frozenset()
    """Names and STIX identity ids that stand for us, in lower case."""
    file_hashes: frozenset[str] = frozenset()

    @property
    def filled_in(self) -> bool:
        """Whether anything may be published at all."""
        return self.declared_empty or bool(self.networks or self.domains or self.mail_domains)

    @cached_property
    def _suffixes(self) -> frozenset[str]:
        return frozenset(self.domains) | frozenset(self.mail_domains)

    def owns_address(self, address: Address) -> bool:
        """Tells whether an address lies in a network of ours."""
        return any(address.version == net.version and address in net for net in self.networks)

    def inside(self, address: Address) -> bool:
        """Tells whether an address is on our side of an event: ours, or internal to any organisation."""
        return self.owns_address(address) or any(address.version == net.version and address in net for net in _INTERNAL)

    def owns_name(self, name: str) -> bool:
        """Tells whether a canonical host name is one of our domains or below one."""
        labels = name.split(".")
        return any(".".join(labels[start:]) in self._suffixes for start in range(len(labels)))

    def owns(self, observable: Observable) -> bool:
        """Tells whether a canonical observable names something of ours, also inside a URL or mail address."""
        match observable.kind:
            case Kind.IPV4 | Kind.IPV6:
                return self._overlaps(observable.value)
            case Kind.DOMAIN:
                return self.owns_name(observable.value)
            case Kind.EMAIL:
                return self.owns_name(observable.value.rpartition("@")[2])
            case Kind.URL:
                return self._owns_host(host_of(observable.value))
            case Kind.MD5 | Kind.SHA1 | Kind.SHA256 | Kind.SHA512:
                return observable.value in self.file_hashes
            case _:
                return False

    def is_us(self, name: str) -> bool:
        """Tells whether a name or identity id, as a tool wrote it, stands for this organisation."""
        return name.strip().lower() in self.organisations

    def _overlaps(self, value: str) -> bool:
        if not self.networks:
            return False
        net = ip_network(value, strict=False)
        return any(net.version == own.version and net.overlaps(own) for own in self.networks)

    def _owns_host(self, host: str) -> bool:
        try:
            return self.owns_address(ip_address(host))
        except ValueError:
            return self.owns_name(host)


def load_assets(node_dir: Path) -> OwnAssets:
    """Reads ``own-assets.toml``; raises ConfigurationError at the first entry that cannot be read."""
    file = node_dir / ASSETS_FILE
    if not file.is_file():
        raise ConfigurationError(f"{file} is missing: it tells what is ours and must never leave. Restore it.")
    read = load_toml(file, AssetsFile, MOST_BYTES_OF_VALUES)
    node = load_settings(node_dir).node
    return parse_assets(read, str(file), [node.name, node.identity])


def parse_assets(read: AssetsFile, place: str, organisations: Iterable[str] = ()) -> OwnAssets:
    """Makes typed own assets of the file's text; names are folded to their ASCII lower-case form.

    ``organisations``: names that stand for us beside those of the file.
    """
    networks = []
    for text in read.networks:
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError as problem:
            raise ConfigurationError(f"{place}: networks: {text!r} is no network: {problem}") from problem
    return OwnAssets(
        tuple(networks),
        tuple(_ascii_name(text, f"{place}: domains") for text in read.domains),
        tuple(_ascii_name(text, f"{place}: mail_domains") for text in read.mail_domains),
        read.declared_empty,
        tuple(_ascii_name(text, f"{place}: mail_servers") for text in read.mail_servers),
        frozenset(name.strip().lower() for name in (*read.organisations, *organisations)),
        frozenset(_file_hash(text, f"{place}: file_hashes") for text in read.file_hashes),
    )


def _file_hash(text: str, place: str) -> str:
    digits = text.strip().lower()
    if len(digits) not in (32, 40, 64, 128) or not set(digits) <= set("0123456789abcdef"):
        raise ConfigurationError(f"{place}: {text!r} is no MD5, SHA-1, SHA-256 or SHA-512 in hexadecimal digits")
    return digits


def _ascii_name(text: str, place: str) -> str:
    import idna

    name = text.strip().strip(".").lower()
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True).decode()
    except idna.IDNAError as problem:
        raise ConfigurationError(f"{place}: {text!r} is no domain name: {problem}") from problem
