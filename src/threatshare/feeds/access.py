"""How a partner's server is reached: credentials, certificates, and whom we trust."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

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
