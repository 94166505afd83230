"""Who is asking: Basic (account name and key), Bearer and Token (key alone), or a client certificate.

medallion has one authentication object for the whole process, so the functions registered with it
find the application through ``current_app`` and serve any number of applications.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex

import medallion
from flask import Response, current_app, g, request
from werkzeug.datastructures import Authorization
from werkzeug.exceptions import MethodNotAllowed, NotFound

from threatshare.model import Account, Micros, micros
from threatshare.ports import Clock
from threatshare.share.access import ACCESS
from threatshare.share.connections import Connections
from threatshare.share.errors import Refused, error_response
from threatshare.share.throttle import Throttle
from threatshare.store.account_keys import key_prefix
from threatshare.store.accounts import rests, verify, verify_certificate

_NOBODY = Account("", frozenset(), frozenset())
_DISCOVERY = "discovery.get_server_discovery"
_DISCOVERY_ROOT = "taxii2"
_EXTENSION = "threatshare_gatekeeper"
_REALM = "threatshare"
_LONGEST = 256
"""Characters of a name or key; nothing longer is looked at."""
CHALLENGES = (
    ("WWW-Authenticate", f'Basic realm="{_REALM}", charset="UTF-8"'),
    ("WWW-Authenticate", f'Bearer realm="{_REALM}"'),
)
WHO = "This needs an account's name and key (Basic), or its key (Bearer)."


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says of who sends it."""

    name: str | None
    """None: the key alone says it."""
    key: str
    certificate: bytes | None = None
    """SHA-256 of the client's certificate, where that alone says it."""

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, ...)"

    @property
    def label(self) -> str:
        """Whom failures are counted against: the account named, the certificate, or the public part of the key."""
        if self.certificate is not None:
            return self.certificate.hex()
        return self.name if self.name is not None else key_prefix(self.key) or ""


class Gatekeeper:
    """Decides who a request is from, for one application."""

    def __init__(
        self, connections: Connections, clock: Clock, open_discovery: bool, failed: Callable[[], None] = lambda: None
    ) -> None:
        """``failed`` is told of each failed login."""
        self._connections = connections
        self._clock = clock
        self._open_discovery = open_discovery
        self._throttle = Throttle()
        self._failed = failed
        # Nobody outside can write it, so a certificate is only ever one that our own layer has taken from the proxy.
        self._seal = f"Certificate-{token_hex(16)} "

    def account(self) -> Account | None:
        """Gives the account of the current request; None is answered with 401.

        Discovery may be read without credentials; wrong ones are refused there too, so that whoever
        mistypes them learns it at the first request. Raises Refused (429) after too many failures.
        """
        header = request.headers.get("Authorization")
        if header is None and self._open_discovery and request.endpoint == _DISCOVERY:
            return _NOBODY
        return self.admitted(header, request.remote_addr or "")

    def sealed(self, certificate: bytes) -> str:
        """Writes the Authorization header of a client whose certificate a trusted proxy has verified."""
        return self._seal + certificate.hex()

    def admitted(self, header: str | None, address: str) -> Account | None:
        """Gives the account of an Authorization header; None where it shows none, which is counted.

        Not counted is the right key of an account that is paused: once it goes on, its client need not wait.

        Raises Refused (429) after too many failures, for those who fail again: whoever else is behind that address
        goes on, else anybody there who knows an account's name could shut it out.
        """
        credentials = self._credentials(header)
        if credentials is None:
            return None
        now = micros(self._clock())
        account = self._verified(credentials, now)
        if account is None and not self._rests(credentials, now):
            # Said of any name alike, whether there is such an account or not.
            _check_wait(self._throttle.must_wait(address, credentials.label, now))
            self._failed()
            _check_wait(self._throttle.failed(address, credentials.label, now))
        return account

    def recognised(self, header: str | None, address: str) -> Account | None:
        """Gives the account of an Authorization header; None for any other, which is refused and counted elsewhere."""
        credentials = self._credentials(header)
        if credentials is None:
            return None
        return self._verified(credentials, micros(self._clock()))

    def _verified(self, credentials: Credentials, now: Micros) -> Account | None:
        with self._connections.reading() as conn:
            if credentials.certificate is not None:
                account = verify_certificate(conn, credentials.certificate, now)
            else:
                account = verify(conn, credentials.name, credentials.key, now)
        if account is not None:
            ACCESS.account = account.name
        return account

    def _rests(self, credentials: Credentials, now: Micros) -> bool:
        with self._connections.reading() as conn:
            return rests(conn, credentials.name, credentials.key, credentials.certificate, now)

    def _credentials(self, header: str | None) -> Credentials | None:
        if header is not None and header.startswith(self._seal):
            return Credentials(None, "", bytes.fromhex(header.removeprefix(self._seal)))
        return _credentials(header)


def register_accounts(app_extensions: dict[str, object], gatekeeper: Gatekeeper) -> None:
    """Makes an application ask this gatekeeper."""
    app_extensions[_EXTENSION] = gatekeeper
    medallion.auth.verify_password(_verify_password)
    medallion.auth.error_handler(_unauthorized)


def ask_first() -> Response | None:
    """Asks who is there before an application says what it has nothing at; to be run before each request.

    Without it whoever has no account could find out addresses, and one without a right on an address would be told
    which methods it knows. Flask-HTTPAuth asks nobody who sends OPTIONS.
    """
    problem = request.routing_exception
    if problem is None and request.method != "OPTIONS":
        return None
    gatekeeper: Gatekeeper = current_app.extensions[_EXTENSION]
    account = gatekeeper.account()
    if account is None:
        return _unauthorized(HTTPStatus.UNAUTHORIZED)
    g.flask_httpauth_user = account  # as Flask-HTTPAuth notes it: what there is depends on who asks
    if isinstance(problem, MethodNotAllowed) and not _is_something(request.path.split("/")[1]):
        raise NotFound
    return None


def _is_something(root: str) -> bool:
    backend = getattr(current_app, "medallion_backend", None)
    return backend is None or root == _DISCOVERY_ROOT or backend.get_api_root_information(root) is not None


def current_account() -> Account:
    """Gives the account that the current request was let in for."""
    account = medallion.auth.current_user()
    return account if isinstance(account, Account) else _NOBODY


def _verify_password(_name: str, _password: str) -> Account | None:
    # Flask-HTTPAuth hands on Basic credentials only, so the header is read anew.
    gatekeeper = current_app.extensions[_EXTENSION]
    account: Account | None = gatekeeper.account()
    return account


def _unauthorized(_status: int) -> Response:
    response = error_response(HTTPStatus.UNAUTHORIZED, WHO)
    for name, value in CHALLENGES:
        response.headers.add(name, value)
    return response


def _credentials(header: str | None) -> Credentials | None:
    given = Authorization.from_header(header)
    if given is None:
        return None
    if given.type == "basic":
        name, key = given.username or "", given.password or ""
        return Credentials(name[:_LONGEST], key[:_LONGEST])
    if given.type in ("bearer", "token") and given.token:
        return Credentials(None, given.token.strip()[:_LONGEST])
    return None


def _check_wait(seconds: int) -> None:
    if seconds:
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"Too many failed logins. Try again in {seconds} seconds.",
            {"Retry-After": str(seconds)},
        )
