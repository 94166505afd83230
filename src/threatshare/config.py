"""The node directory's own files, read closed and typed: an unknown key is an error that names the nearest known one.

    node.toml          who we are, how we share, how we serve
    own-assets.toml    our networks, domains and mail domains, which never leave

Secrets are never in these files: where one is needed, an environment variable or a file that holds it is named.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from threatshare.errors import ConfigurationError
from threatshare.model import Kind, Observable, host_of

NODE_FILE = "node.toml"
ASSETS_FILE = "own-assets.toml"
STORE_FILE = "store.db"
AGREEMENTS_DIR = "agreements"

Purpose = Literal["live", "demo", "exercise"]
TlpLabel = Literal["clear", "green", "amber", "amber+strict", "red"]
Reliability = Literal["A", "B", "C", "D", "E", "F"]
Percent = Annotated[int, Meta(ge=0, le=100)]
Positive = Annotated[int, Meta(gt=0)]
Uri = Annotated[str, Meta(pattern=r"^(?!http:)[a-z][a-z0-9+.-]*:[!-~]+\Z", max_length=500)]
LanguageTag = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*\Z")]


class Identity(Struct, frozen=True, forbid_unknown_fields=True):
    """``[node]``: who we are."""

    name: str
    """The organisation, as its STIX Identity names it."""
    sector: str
    """A word of STIX's industry sectors (STIX 2.1 §10.9), e.g. ``energy``."""
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")]
    """ISO 3166-1 alpha-2."""
    administrative_area: Annotated[str, Meta(pattern="^[A-Z]{2}-[A-Z0-9]{1,3}$")]
    """ISO 3166-2; its prefix equals the country."""
    identity: Annotated[str, Meta(pattern="^identity--[0-9a-f-]{36}$")]
    """The id of our STIX Identity; never change it, every indicator id follows from it."""
    created: str
    """When the identity was made, RFC 3339."""
    purpose: Purpose = "live"
    """Only ``demo`` and ``exercise`` nodes let documentation ranges and reserved names through."""


class Sharing(Struct, frozen=True, forbid_unknown_fields=True):
    """``[sharing]``: what our own indicators say."""

    default_tlp: TlpLabel = "green"
    """Marking of our own indicators where nothing else is said."""
    default_confidence: Percent = 70
    """Confidence of our indicators where the tool that found them states none."""
    siem_floor: Percent = 1
    """Indicators under this score are withdrawn from the SIEM collection."""


class Serve(Struct, frozen=True, forbid_unknown_fields=True):
    """``[serve]``: the TAXII server."""

    host: str = "127.0.0.1"
    """Address that it listens on; put a proxy with TLS before it."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 9000
    """0: any free port."""
    public_url: str | None = None
    """What partners type, e.g. ``https://taxii.example.org``; None: taken from the request."""
    workers: Positive = 1
    """Server processes."""
    max_page_size: Positive = 10_000
    """Objects on a page at most, whatever a client asks for."""
    default_page_size: Positive = 1_000
    """Objects on a page where a client names no limit."""
    max_content_length: Positive = 10_485_760
    """Bytes of one POST body."""
    open_discovery: bool = True
    """Whether ``/taxii2/`` answers without credentials; nothing else ever does."""
    trusted_proxies: Annotated[int, Meta(ge=0)] = 0
    """How many proxies stand in front and set X-Forwarded-For, -Proto, -Host and -Prefix; 0: none is believed."""
    proxy_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Where the last of those proxies connects from; what others write into such headers is not believed."""
    key_header: str | None = None
    """A header in which clients may send their key, e.g. ``X-Api-Key``, beside Authorization."""
    certificate_header: str | None = None
    """The header in which the trusted proxy passes on the client's certificate that it has verified."""
    tls_certificate: str | None = None
    """The server's certificate with its chain, a PEM file; with ``tls_key`` the server speaks TLS itself."""
    tls_key: str | None = None
    """The certificate's key, a PEM file that nobody else may read."""
    tls_client_authority: str | None = None
    """Authorities of client certificates, a PEM file; with it no client without such a certificate is let in."""
    open_metrics: bool = False
    """Whether ``/metrics`` answers on loopback without credentials; else it takes an account with that right."""
    access_log: str | None = None
    """File to which a JSON line is written for each request, e.g. ``/dev/stderr``; None: none is."""
    contact: str | None = None
    """Whom discovery names for questions."""
    title: str | None = None
    """What the server calls itself; None: the organisation's name, which partners that are not told it would read."""


class FindingsSource(Struct, frozen=True, forbid_unknown_fields=True):
    """``[[daemon.source]]``: a log or a folder in which findings arrive."""

    path: str
    """The log or the folder; as seen from the node directory, if it does not begin with a slash."""
    kind: Literal["follow", "watch"]
    """``follow`` takes the lines of a log that grows and is rotated, ``watch`` takes each file put into a folder."""
    format: str | None = None
    """Name of the reader; None: recognised from the content."""


class Daemon(Struct, frozen=True, forbid_unknown_fields=True):
    """``[daemon]``: the schedule, and where findings arrive by themselves."""

    publish_every_seconds: Positive = 60
    """How often everything is put through the gate; what has changed is at once."""
    rescore_every_seconds: Positive = 60
    """How often the scores that are due are reckoned again."""
    anchor_file: str | None = None
    """File to which the ledger's head is appended, best on another machine's disk; None: it is not anchored."""
    anchor_every_seconds: Positive = 86_400
    """How often the ledger's head is anchored."""
    source: tuple[FindingsSource, ...] = ()
    """Tables ``[[daemon.source]]``, one for each log or folder."""


class OwnContact(Struct, frozen=True, forbid_unknown_fields=True):
    """``[contact]``: how others reach us; ``security.txt`` (RFC 9116), and our description after RFC 2350."""

    contact: tuple[Uri, ...] = ()
    """Addresses for reports on security, the preferred first; with it and ``expires`` our server has a security.txt."""
    expires: date | None = None
    """The last day on which these addresses count; RFC 9116 advises less than a year ahead."""
    encryption: tuple[Uri, ...] = ()
    """Where our keys are, never a key itself."""
    policy: Uri | None = None
    """Where our policy on disclosure is."""
    preferred_languages: tuple[LanguageTag, ...] = ()
    """In which reports are best written."""
    canonical: tuple[Uri, ...] = ()
    """Where security.txt is served; readers distrust one that was found elsewhere."""
    team: str | None = None
    """Name of the team; without it the organisation's."""
    address: str | None = None
    """Postal address."""
    time_zone: str | None = None
    """Offset from UTC, in summer too."""
    telephone: str | None = None
    """With the country's code."""
    other_telecommunication: str | None = None
    """Other ways than telephone and mail."""
    email: str | None = None
    """Read by whoever is on duty."""
    keys: str | None = None
    """Fingerprints of our keys, and where they are."""
    members: str | None = None
    """Who the team is; a desk rather than names."""
    customer_contact: str | None = None
    """How those whom we serve reach us, and at what hours."""
    other_information: str | None = None
    """Where more is said."""
    mission: str | None = None
    """What the team is for."""
    constituency: str | None = None
    """Whom it serves."""
    affiliation: str | None = None
    """Whom it belongs to, who pays for it, what it is a member of."""
    authority: str | None = None
    """What it may decide."""
    incidents: str | None = None
    """Types of incidents that it takes, and the support that it gives."""
    cooperation: str | None = None
    """With whom it works, and what it passes on."""
    authentication: str | None = None
    """How it speaks with others, and how they know that it is us."""
    incident_response: str | None = None
    """Its services when something has happened."""
    proactive: str | None = None
    """Its services before anything happens."""
    reporting_forms: str | None = None
    """Where the forms for reports are."""
    disclaimers: str | None = None
    """What it does not answer for."""
    updated: date | None = None
    """When this description was last changed."""
    distribution: str | None = None
    """Who is told of changes of it."""
    location: str | None = None
    """Where it is published."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """``node.toml``."""

    node: Identity
    sharing: Sharing = Sharing()
    serve: Serve = Serve()
    daemon: Daemon = Daemon()
    contact: OwnContact = OwnContact()


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


def load_settings(node_dir: Path) -> Settings:
    """Reads ``node.toml``; raises ConfigurationError with file, key, value and what was wanted."""
    file = node_dir / NODE_FILE
    if not file.is_file():
        raise ConfigurationError(
            f"{node_dir} is no node directory: it has no {NODE_FILE}. "
            "Make one with `threatshare init DIR`, or name yours with --node or THREATSHARE_NODE."
        )
    settings = _load(file, Settings)
    node = settings.node
    if not node.administrative_area.startswith(node.country + "-"):
        raise ConfigurationError(
            f"{file}: node.administrative_area is {node.administrative_area!r}, "
            f"wanted an ISO 3166-2 code that begins with {node.country}-"
        )
    return settings


def load_assets(node_dir: Path) -> OwnAssets:
    """Reads ``own-assets.toml``; raises ConfigurationError at the first entry that cannot be read."""
    file = node_dir / ASSETS_FILE
    if not file.is_file():
        raise ConfigurationError(f"{file} is missing: it tells what is ours and must never leave. Restore it.")
    read = _load(file, AssetsFile)
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


def secret(env: str | None, file: str | None, place: str) -> str | None:
    """Reads a secret from the environment or a file; None where neither is named."""
    if env is not None:
        if env not in os.environ:
            raise ConfigurationError(f"{place}: the environment variable {env} is not set")
        return os.environ[env]
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as problem:
            raise ConfigurationError(f"{place}: the secret's file cannot be read: {problem}") from problem
    return None


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


Read = TypeVar("Read", bound=Struct)


def load_toml(file: Path, shape: type[Read]) -> Read:
    """Reads a closed TOML file of the node directory; raises ConfigurationError with file, key and what was wanted."""
    return _load(file, shape)


def _load(file: Path, shape: type[Read]) -> Read:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ConfigurationError(f"{file} cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{file} is not valid TOML: {problem}") from problem
    _refuse_unknown_keys(data, shape, str(file), "")
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as problem:
        reason, _, where = str(problem).partition(" - at `$.")
        key = where.rstrip("`")
        raise ConfigurationError(f"{file}: {key or 'file'}: {_said(data, key)}{reason}") from problem


def _said(data: dict[str, Any], key: str) -> str:
    value: Any = data
    for step in key.replace("[", ".[").split(".") if key else []:
        if step.startswith("["):
            place = step.strip("[]")
            value = value[int(place)] if isinstance(value, list) and place.isdecimal() else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return f"{value!r} was given. " if value is not None and not isinstance(value, dict) else ""


def _refuse_unknown_keys(data: dict[str, Any], shape: type[Struct], file: str, prefix: str) -> None:
    known = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
    for key, value in data.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            raise ConfigurationError(f"{file}: unknown key {prefix}{key}; {hint}")
        inner = next((one for one in (known[key], *get_args(known[key])) if _is_struct(one)), None)
        if inner is not None and isinstance(value, dict):
            _refuse_unknown_keys(value, inner, file, f"{prefix}{key}.")
        elif inner is not None and isinstance(value, list):
            for place, table in enumerate(value):
                if isinstance(table, dict):
                    _refuse_unknown_keys(table, inner, file, f"{prefix}{key}[{place}].")


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
