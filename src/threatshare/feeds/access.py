"""How a partner's server is reached: credentials, certificates, and whom we trust."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from threatshare.config import secret
from threatshare.errors import ConfigurationError
from threatshare.feeds.egress import GuardedTlsSocket

_TOKEN = re.compile(r"[\x21-\x7e]+").fullmatch


@dataclass(frozen=True, slots=True)
class Access:
    """How a partner's server is reached; secrets do not show in its repr."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    """Sent as Bearer."""
    client_cert: Path | None = None
    client_key: Path | None = None
    """None: the key is in the certificate's file."""
    ca_file: Path | None = None
    """The only authorities trusted; None: the public ones."""
    allow_private_address: bool = False

    def authorization(self) -> str | None:
        """Gives the Authorization header (RFC 7617 with UTF-8, RFC 6750).

        Raises ConfigurationError for a token that no header can carry.
        """
        if self.token is not None:
            # http.client would refuse it too, and quote it in its message.
            if not _TOKEN(self.token):
                raise ConfigurationError("the token is empty or holds characters that no HTTP header can carry")
            return f"Bearer {self.token}"
        if self.user is not None:
            return "Basic " + b64encode(f"{self.user}:{self.password or ''}".encode()).decode()
        return None


class Reached(Protocol):
    """The part of a file's settings that says how a partner's server is reached; feeds and push targets have it."""

    @property
    def user(self) -> str | None:
        """Name for Basic authentication."""

    @property
    def password_env(self) -> str | None:
        """Environment variable that holds the password."""

    @property
    def password_file(self) -> str | None:
        """File that holds the password."""

    @property
    def token_env(self) -> str | None:
        """Environment variable that holds a Bearer token."""

    @property
    def client_cert(self) -> str | None:
        """Our TLS certificate."""

    @property
    def client_key(self) -> str | None:
        """Its key."""

    @property
    def ca_file(self) -> str | None:
        """Authorities that may vouch for the server."""

    @property
    def allow_private_address(self) -> bool:
        """Whether its host may be a private address."""


def access_of(settings: Reached, node_dir: Path, place: str) -> Access:
    """Gives how a server is reached; secrets are read here, relative paths taken from the node directory.

    Raises ConfigurationError for a secret that is missing.
    """

    def file(text: str | None) -> Path | None:
        return None if text is None else node_dir / text

    password_file = file(settings.password_file)
    return Access(
        user=settings.user,
        password=secret(settings.password_env, None if password_file is None else str(password_file), place),
        token=secret(settings.token_env, None, place),
        client_cert=file(settings.client_cert),
        client_key=file(settings.client_key),
        ca_file=file(settings.ca_file),
        allow_private_address=settings.allow_private_address,
    )


def checked_url(url: str, place: str, with_query: bool) -> SplitResult:
    """Takes a partner's address apart; raises ConfigurationError where it is none, or holds what it must not."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(f"{place}: url must be an http or https address")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{place}: url holds a password; use user with password_env or password_file instead")
    if parts.query and not with_query:
        raise ConfigurationError(f"{place}: url has a query, which a TAXII address cannot have")
    return parts


def tls_context(access: Access) -> ssl.SSLContext:
    """Makes the context that verifies the server's certificate and name, and shows ours where we have one.

    Raises ConfigurationError when a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(access.ca_file or DEFAULT_CA_BUNDLE_PATH))
        if access.client_cert is not None:
            context.load_cert_chain(access.client_cert, access.client_key)
    except (OSError, ssl.SSLError) as problem:
        which = ", ".join(str(file) for file in (access.ca_file, access.client_cert, access.client_key) if file)
        raise ConfigurationError(f"the TLS files cannot be used: {which}: {problem}") from problem
    context.sslsocket_class = GuardedTlsSocket
    return context
