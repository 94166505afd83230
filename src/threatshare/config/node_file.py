"""``node.toml``: who we are, how we share, how we serve; and what else lies in a node directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from threatshare.config.contact import OwnContact
from threatshare.config.toml_files import load_toml
from threatshare.config.values import Percent, Positive, Purpose, TlpLabel
from threatshare.errors import ConfigurationError

NODE_FILE = "node.toml"
STORE_FILE = "store.db"
AGREEMENTS_DIR = "agreements"


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
    daily_objects: Positive = 2_000_000
    """Objects that one account may post a day (UTC); `account limit` sets it for one account."""
    daily_bytes: Positive = 4_294_967_296
    """Bytes that one account may post a day."""
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


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """``node.toml``."""

    node: Identity
    sharing: Sharing = Sharing()
    serve: Serve = Serve()
    daemon: Daemon = Daemon()
    contact: OwnContact = OwnContact()


def load_settings(node_dir: Path) -> Settings:
    """Reads ``node.toml``; raises ConfigurationError with file, key, value and what was wanted."""
    file = node_dir / NODE_FILE
    if not file.is_file():
        raise ConfigurationError(
            f"{node_dir} is no node directory: it has no {NODE_FILE}. "
            "Make one with `threatshare init DIR`, or name yours with --node or THREATSHARE_NODE."
        )
    settings = load_toml(file, Settings)
    node = settings.node
    if not node.administrative_area.startswith(node.country + "-"):
        raise ConfigurationError(
            f"{file}: node.administrative_area is {node.administrative_area!r}, "
            f"wanted an ISO 3166-2 code that begins with {node.country}-"
        )
    return settings
