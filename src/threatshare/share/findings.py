"""``POST /findings``: takes findings from tools that push them.

It is no part of TAXII: any type of content is taken, and recognised as a file's is. Accounts have a right of its own
for it; for all others there is nothing at this address. What is pushed counts towards the account's quota of the day as
what is posted does: its bytes before it is read; how many findings it holds only reading tells, so the last body that
is taken of a day may go beyond the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import BytesIO

import medallion
import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from threatshare.errors import UsageError
from threatshare.findings.compression import inflates_beyond
from threatshare.model import micros
from threatshare.ports import Clock
from threatshare.share.accounts import Gatekeeper, current_account
from threatshare.share.connections import Connections
from threatshare.share.errors import Refused
from threatshare.share.negotiation import Environ, StartResponse, WsgiApp
from threatshare.share.posting import Admit
from threatshare.store.accounts import may_push_findings
from threatshare.store.faults import StoreFault
from threatshare.store.quotas import Amount, add_objects

TakePosted = Callable[[bytes, str | None, str], tuple[Mapping[str, object], str | None]]
"""Takes a body in a format (None: recognised) from an account. Gives what came of it, and why nothing could be read,
where that is so, without any value of the body. Raises UsageError where there is no such format."""

_PATH = "/findings"
_FORM = "application/x-www-form-urlencoded"
"""What curl says of any body unless it is told otherwise."""
_LONGEST_NAME = 60
"""Characters of a format's name that an answer repeats."""
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""All are routed, so that who is there is asked first."""


class FindingsDoor:
    """Leads requests for the webhook to an application of its own, past what is there for TAXII's only.

    Who has an account and no right goes the way of all others, where nothing is at this address. Who has none is
    refused, and counted, by the webhook.
    """

    def __init__(self, webhook: WsgiApp, others: WsgiApp, gatekeeper: Gatekeeper, connections: Connections) -> None:
        self._webhook = webhook
        self._others = others
        self._gatekeeper = gatekeeper
        self._connections = connections

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request."""
        here = environ.get("PATH_INFO", "").rstrip("/") == _PATH and not self._has_no_right(environ)
        return (self._webhook if here else self._others)(environ, start_response)

    def _has_no_right(self, environ: Environ) -> bool:
        try:
            account = self._gatekeeper.recognised(environ.get("HTTP_AUTHORIZATION"), environ.get("REMOTE_ADDR", ""))
            if account is None:
                return False
            with self._connections.reading() as conn:
                return not may_push_findings(conn, account.name)
        except StoreFault:
            return False  # the webhook says so


def findings_blueprint(connections: Connections, take: TakePosted, admit: Admit, clock: Clock) -> Blueprint:
    """Makes the one route of the webhook's application; ``admit`` counts a body, which is one object at least."""
    blueprint = Blueprint("findings", __name__)

    @blueprint.route(_PATH, methods=_METHODS)
    @medallion.auth.login_required  # type: ignore[untyped-decorator]
    def findings() -> Response:
        account = current_account()
        with connections.reading() as conn:
            allowed = may_push_findings(conn, account.name)
        if not allowed:
            raise NotFound
        if request.method != "POST":
            raise MethodNotAllowed(["POST"])
        body, format = _body()
        now = micros(clock())
        admit(account, Amount(1, len(body)), now)
        counts, unreadable = _taken(take, body, format, account.name)
        more = _number(counts, "findings") + _number(counts, "rejected") - 1
        if more > 0:
            with connections.writing() as conn:
                add_objects(conn, account.name, more, now)
        return _answer(counts, unreadable)

    return blueprint


def _number(counts: Mapping[str, object], name: str) -> int:
    value = counts.get(name)
    return value if isinstance(value, int) else 0


def _body() -> tuple[bytes, str | None]:
    """Gives the body and the format that it is said to have; raises Refused where that is not taken here."""
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the body without Content-Encoding. A compressed file may be the body itself.",
        )
    if request.mimetype.startswith("multipart/"):
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the findings as the body itself, as curl does with --data-binary."
        )
    body, format = request.get_data(), request.args.get("format")
    if format is not None and len(format) > _LONGEST_NAME:
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"There is no reader with a name of more than {_LONGEST_NAME} characters."
        )
    # As much as a plain body (one byte less than Flask passes): gzip holds up to 1,000 times its size.
    most = request.max_content_length
    if most is not None and inflates_beyond(BytesIO(body), most - 1):
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The compressed body inflates to more than {most - 1} bytes, the limit. Send it in several requests.",
        )
    return body, format


def _taken(take: TakePosted, body: bytes, format: str | None, account: str) -> tuple[Mapping[str, object], str | None]:
    try:
        return take(body, format, account)
    except UsageError as problem:
        raise Refused(HTTPStatus.BAD_REQUEST, str(problem)) from problem


def _answer(counts: Mapping[str, object], unreadable: str | None) -> Response:
    if unreadable is not None:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"Nothing in the body could be read: {unreadable}")
    empty = not counts["findings"] and not counts["rejected"]
    if empty and request.mimetype == _FORM:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "Nothing was found in the body. If curl sent it with -d, its line ends are gone: use --data-binary.",
        )
    return Response(msgspec.json.encode(counts), content_type="application/json")
