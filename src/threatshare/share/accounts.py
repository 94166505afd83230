"""Who is asking: Basic (account name and key), Bearer and Token (key alone).

medallion has one authentication object for the whole process, so the functions registered with it
find the application through ``current_app`` and serve any number of applications.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import medallion
from flask import Response, current_app, request
from werkzeug.datastructures import Authorization

from threatshare.model import Account, Micros, micros
from threatshare.ports import Clock
from threatshare.share.connections import Connections
from threatshare.share.errors import Refused, error_response
from threatshare.share.throttle import Throttle
from threatshare.store.account_keys import key_prefix
from threatshare.store.accounts import verify

_NOBODY = Account("", frozenset(), frozenset())
_DISCOVERY = "discovery.get_server_discovery"
_EXTENSION = "threatshare_gatekeeper"
_REALM = "threatshare"
_LONGEST = 256
"""Characters of a name or key; nothing longer is looked at."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says of who sends it."""

    name: str | None
    """None: the key alone says it."""
    key: str

    def __repr__(self) -> str:
        return f"Credentials({self.name!r}, ...)"

    @property
    def label(self) -> str:
        """Whom failures are counted against: the account named, or the public part of the key."""
        return self.name if self.name is not None else key_prefix(self.key) or ""


class Gatekeeper:
    """Decides who a request is from, for one application."""

    def __init__(self, connections: Connections, clock: Clock, open_discovery: bool) -> None:
        self._connections = connections
        self._clock = clock
        self._open_discovery = open_discovery
        self._throttle = Throttle()

    def account(self) -> Account | None:
        """Gives the account of the current request; None is answered with 401.

        Discovery may be read without credentials; wrong ones are refused there too, so that whoever
        mistypes them learns it at the first request. Raises Refused (429) after too many failures.
        """
        header, address = request.headers.get("Authorization"), request.remote_addr or ""
        credentials = _credentials(header)
        if credentials is None:
            open_here = self._open_discovery and request.endpoint == _DISCOVERY
            return _NOBODY if open_here and header is None else None
        now = micros(self._clock())
        _check_wait(self._throttle.must_wait(address, credentials.label, now))
        account = self._verified(credentials, now)
        if account is None:
            _check_wait(self._throttle.failed(address, credentials.label, now))
        return account

    def recognised(self, header: str | None, address: str) -> Account | None:
        """Gives the account of an Authorization header; None for any other, which is refused and counted elsewhere."""
        credentials = _credentials(header)
        if credentials is None:
            return None
        now = micros(self._clock())
        if self._throttle.must_wait(address, credentials.label, now):
            return None
        return self._verified(credentials, now)

    def _verified(self, credentials: Credentials, now: Micros) -> Account | None:
        with self._connections.reading() as conn:
            return verify(conn, credentials.name, credentials.key, now)


def register_accounts(app_extensions: dict[str, object], gatekeeper: Gatekeeper) -> None:
    """Makes an application ask this gatekeeper."""
    app_extensions[_EXTENSION] = gatekeeper
    medallion.auth.verify_password(_verify_password)
    medallion.auth.error_handler(_unauthorized)


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
    response = error_response(
        HTTPStatus.UNAUTHORIZED, "This needs an account's name and key (Basic), or its key (Bearer)."
    )
    response.headers.add("WWW-Authenticate", f'Basic realm="{_REALM}", charset="UTF-8"')
    response.headers.add("WWW-Authenticate", f'Bearer realm="{_REALM}"')
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
