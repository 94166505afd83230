"""One session with one partner's server: the only way in which anything is asked or sent over HTTP.

Nothing that the server answers can make it wait longer, hold more, or talk to somebody else than its limits
say (``egress`` sees to time, wire bytes and addresses; this file to redirects, inflating, status and type):

    redirect to another host, port or scheme    refused: credentials go to the configured address only
    any Content-Encoding but one gzip           refused; gzip is inflated piece by piece under the byte limit
    429, 503                                    ``Busy`` with the seconds that the server asks for
    any other status than 200, or 206 or 304 that was asked for   ``BadStatus``, with what short JSON says beside it
    another media type than asked for           refused

A POST is never redirected, and any 2xx is an answer to it: what it means is for the caller to judge.

Messages name the address without userinfo and query, where feeds carry keys.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead, RemoteDisconnected
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from time import monotonic as system_monotonic
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from threatshare import __version__
from threatshare.errors import PartnerError
from threatshare.feeds.access import Access, tls_context
from threatshare.feeds.body import read_body, unheard
from threatshare.feeds.egress import (
    Guard,
    GuardedAdapter,
    GuardedHttp,
    Limits,
    Refusal,
    Resolver,
    Unfit,
    system_resolver,
)
from threatshare.ports import Clock, Heard

MAX_RETRY_AFTER = 3600.0
"""Seconds; a server cannot silence a feed for longer."""
_MAX_REDIRECTS = 5
_MOST_SHOWN = 300
"""Characters of an address in a message."""
_MAX_ERROR_BYTES = 64 * 1024
"""Read of what comes with a status that is no success."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_ADVICE = {
    401: "check user, password or token",
    403: "this account may not read it",
    404: "check the address",
    406: "the server does not speak the format that was asked for",
    407: "a proxy stands in the way",
}


class Busy(PartnerError):
    """The server asked to be left alone (429 or 503)."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds, at most an hour; None: the server did not say."""


class BadAnswer(PartnerError):
    """The server answered with what was not asked for: too much, or of another form."""


class Elsewhere(PartnerError):
    """The server points to an address that is not its own."""


class BadStatus(PartnerError):
    """The server answered with a status that is no success."""

    def __init__(self, message: str, status: int, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        """What came with it, where that was read: the answer to a POST, or JSON, says there what is wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, read completely and inflated."""

    status: int
    """200, or 206 where a range was asked for, or 304 where a condition was sent; of a POST any 2xx."""
    headers: Mapping[str, str]
    """Keys in any case."""
    body: bytes = field(repr=False)
    wire_bytes: int
    url: str = field(repr=False)
    """Where it came from, after redirects."""


def shown(url: str) -> str:
    """Gives an address for messages: without userinfo, query and fragment, which may hold keys, and cut short."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:_MOST_SHOWN]


def origin(url: str) -> tuple[str, str, int | None]:
    """Gives scheme, host and port; raises ValueError for an address that cannot be read."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)


class _Astray(Refusal):
    """What is to be asked next is not on the server that was configured."""


class PartnerSession:
    """One run's exchange with one server; every answer is complete and within limits, or a PartnerError."""

    def __init__(
        self,
        home: str,
        access: Access,
        limits: Limits,
        *,
        clock: Clock,
        monotonic: Callable[[], float] = system_monotonic,
        resolve: Resolver = system_resolver,
        heard: Heard = unheard,
    ) -> None:
        """Starts the run's clock. ``home`` is the configured address: nothing leaves for another origin.

        ``heard`` is told of every answer to a GET while it comes in.
        """
        self._home = origin(home)
        self._limits = limits
        self._clock = clock
        self._heard = heard
        self._guard = Guard(limits, monotonic, access.allow_private_address, resolve)
        # Reading the public authorities takes longer than a page: only where they are needed.
        tls = tls_context(access) if self._home[0] == "https" else None
        self.http = GuardedHttp(GuardedAdapter(self._guard, tls))
        """requests' session underneath, for libraries that want one."""
        self.http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.http.headers = CaseInsensitiveDict({"User-Agent": f"threatshare/{__version__}", "Accept-Encoding": "gzip"})
        self._authorization = access.authorization()
        told = (access.password, access.token, (self._authorization or "").partition(" ")[2])
        self._secrets = [one.encode() for one in told if one]

    def get(
        self,
        url: str,
        *,
        place: str,
        media_types: Callable[[str], bool],
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        """Asks and reads the whole answer, within one page's deadline.

        ``place`` names feed and page in messages. ``media_types`` judges the Content-Type header
        (empty where there is none). Raises Busy, BadStatus or PartnerError.
        """
        most = self._limits.max_bytes if max_bytes is None else max_bytes
        self._guard.begin(most)
        request = requests.Request("GET", url, dict(headers or {}), params=dict(params or {}))
        at = f"{place}: {shown(url)}"
        with self._told(at):
            for _ in range(_MAX_REDIRECTS + 1):
                self._check_origin(request.url)
                response = self._send(request)
                try:
                    target = _target(response)
                    if target is None:
                        return self._answer(response, request, at, media_types, most)
                finally:
                    # Read to its end, the connection is back in the pool already; else it is of no more use.
                    response.close()
                request = requests.Request("GET", target, dict(headers or {}))
        raise PartnerError(f"{at}: more than {_MAX_REDIRECTS} redirects")

    def post(
        self, url: str, body: bytes, *, place: str, headers: Mapping[str, str], max_bytes: int | None = None
    ) -> Answer:
        """Sends a body and reads the whole answer, within one page's deadline; ``max_bytes`` limits the answer.

        Any 2xx is given back. Raises Busy, BadStatus with the start of what came with it (redirects
        too: nothing is sent anywhere else), or PartnerError, after which it is not known whether the body arrived.
        """
        most = self._limits.max_bytes if max_bytes is None else max_bytes
        self._guard.begin(most)
        at = f"{place}: {shown(url)}"
        with self._told(at):
            self._check_origin(url)
            # As a stream it is sent piece by piece, each within the guard's patience; requests still states its length.
            request = requests.Request("POST", url, dict(headers), data=BytesIO(body))
            response = self._send(request)
            try:
                self._check_busy(response, at)
                status = response.status_code
                if not 200 <= status < 300:
                    raise BadStatus(f"{at}: HTTP {status}", status, self._complaint(response))
                return Answer(
                    status, response.headers, read_body(response, self._guard, most), self._guard.received, url
                )
            finally:
                response.close()

    def close(self) -> None:
        """Closes its connections."""
        self.http.close()

    @contextmanager
    def _told(self, at: str) -> Iterator[None]:
        """Puts whatever ends an exchange into words of our own."""
        try:
            yield
        except Unfit as problem:
            raise BadAnswer(f"{at}: {problem}") from None
        except _Astray as problem:
            raise Elsewhere(f"{at}: {problem}") from None
        except Refusal as problem:
            raise PartnerError(f"{at}: {problem}") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as problem:
            # Cut the chain: these messages quote the address with its query.
            raise PartnerError(f"{at}: {self._said(problem)}") from None

    def _send(self, request: requests.Request) -> requests.Response:
        prepared = self.http.prepare_request(request)
        if self._authorization is not None:
            prepared.headers["Authorization"] = self._authorization
        silence = (self._limits.connect_seconds, self._limits.silence_seconds)
        try:
            return self.http.send(prepared, stream=True, timeout=silence, allow_redirects=False)
        except requests.ConnectionError:
            # A server may close a connection that was kept alive just as it is used again (RFC 9112 §9.3.1).
            if self._guard.connected or self._guard.received:
                raise
            if isinstance(prepared.body, BytesIO):
                prepared.body.seek(0)
            return self.http.send(prepared, stream=True, timeout=silence, allow_redirects=False)

    def _check_origin(self, url: str) -> None:
        try:
            there = origin(url)
        except ValueError:
            raise Refusal("points to an address that cannot be read") from None
        if there != self._home:
            scheme, host, port = self._home
            raise _Astray(
                f"points to {shown(url)}, which is not on {scheme}://{host}:{port}; "
                "name that address in the feed's url, or the target's, if you trust it"
            )

    def _answer(
        self,
        response: requests.Response,
        request: requests.Request,
        at: str,
        media_types: Callable[[str], bool],
        most: int,
    ) -> Answer:
        status = response.status_code
        conditional = any(name.lower().startswith("if-") for name in request.headers)
        if status == 304 and conditional:
            return Answer(status, response.headers, b"", self._guard.received, request.url)
        self._check_busy(response, at)
        ranged = any(name.lower() == "range" for name in request.headers)
        if status != 200 and not (status == 206 and ranged):
            advice = _ADVICE.get(status)
            said = self._complaint(response) if _says_why(response) else b""
            raise BadStatus(f"{at}: HTTP {status}" + (f"; {advice}" if advice else ""), status, said)
        media_type = response.headers.get("Content-Type", "")
        if not media_types(media_type):
            raise Unfit(f"unexpected media type {media_type[:80]!r}; check the address")
        body = read_body(response, self._guard, most, self._heard)
        return Answer(status, response.headers, body, self._guard.received, request.url)

    def _check_busy(self, response: requests.Response, at: str) -> None:
        if response.status_code in (429, 503):
            raise Busy(f"{at}: HTTP {response.status_code}, the server is busy", self._retry_after(response))

    def _complaint(self, response: requests.Response) -> bytes:
        """Reads what a server says beside an error: properly, in few words, and without a secret of ours."""
        try:
            said = read_body(response, self._guard, _MAX_ERROR_BYTES)
        except (Refusal, requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            return b""
        return b"" if any(one in said for one in self._secrets) else said

    def _retry_after(self, response: requests.Response) -> float | None:
        """Reads Retry-After as seconds or as a date (RFC 9110 §10.2.3)."""
        text = response.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), MAX_RETRY_AFTER)
        until = _http_date(text)
        if until is None:
            return None
        # The server's own clock, where it tells it: its date may be ahead of ours.
        now = _http_date(response.headers.get("Date", "")) or self._clock()
        return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER)

    def _said(self, problem: BaseException) -> str:
        """Puts a library's exception into words of our own, without the address that it quotes."""
        try:
            self._guard.patience()
        except Refusal as late:
            return str(late)
        for cause in _causes(problem):
            match cause:
                case Refusal():
                    return str(cause)
                case requests.exceptions.InvalidURL() | urllib3.exceptions.LocationValueError():
                    return "the address cannot be used: check how its host is written"
                case ssl.SSLCertVerificationError():
                    return f"its certificate is not trusted: {cause.verify_message}"
                case ssl.SSLError():
                    return f"TLS failed: {cause.reason or 'broken handshake'}"
                case TimeoutError() | urllib3.exceptions.TimeoutError():
                    return "no answer in time"
                case IncompleteRead() | urllib3.exceptions.IncompleteRead():
                    return "the answer ended too early"
                case RemoteDisconnected():
                    return "the server closed the connection without an answer"
                case OSError() if cause.strerror:
                    return cause.strerror
        return f"the answer is no proper HTTP ({type(problem).__name__})"


def _target(response: requests.Response) -> str | None:
    location = response.headers.get("Location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    try:
        return urljoin(response.url, location)
    except ValueError:
        raise Refusal("redirects to an address that cannot be read") from None


def _says_why(response: requests.Response) -> bool:
    """Tells whether an answer to a GET, which is no success, is short and for programs."""
    length = response.headers.get("Content-Length", "")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind.endswith(("+json", "/json")) and length.isdecimal() and 0 < int(length[:9]) <= _MAX_ERROR_BYTES


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """Walks from an exception to what it was made of: requests and urllib3 nest theirs as arguments too."""
    seen: set[int] = set()
    ahead: list[object] = [problem]
    found: list[BaseException] = []
    while ahead:
        one = ahead.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        found.append(one)
        ahead += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    # Innermost first: the outer ones say only that something failed.
    yield from reversed(found)
