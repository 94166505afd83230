"""Error resources (TAXII 2.1 §3.6): every failure has the TAXII media type and says what to do, none is HTML.

medallion registers its handlers on an application of its own only, so all of them are registered here.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, request
from medallion.exceptions import MedallionError
from werkzeug.exceptions import HTTPException

from threatshare.errors import BadValue
from threatshare.share.bodies import TAXII
from threatshare.share.negotiation import is_coded
from threatshare.store.faults import StoreFault

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 5


class Refused(Exception):
    """A request is refused with a status, a reason for the client and perhaps headers."""

    def __init__(self, status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = dict(headers or {})


def error_body(status: int, reason: str) -> bytes:
    """Writes the error resource of a status."""
    body = {"title": HTTPStatus(status).phrase, "description": reason, "http_status": str(status)}
    return msgspec.json.encode(body)


def error_response(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Makes the response that refuses a request."""
    response = Response(error_body(status, reason), status=status, content_type=TAXII)
    response.headers.extend(headers or {})
    return response


class QuietFlask(Flask):
    """An application that logs faults outside its handlers as those inside, without what was processed."""

    def log_exception(self, exc_info: Any) -> None:
        """Logs where it happened."""
        note_fault(exc_info[1])


def register_errors(app: Flask) -> None:
    """Makes error resources of everything that can go wrong inside the application."""
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(MedallionError, _medallion_error)
    app.register_error_handler(BadValue, _bad_value)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(StoreFault, _store_fault)
    app.register_error_handler(Exception, _fault)


def _refused(problem: Refused) -> Response:
    return error_response(problem.status, str(problem), problem.headers)


def _medallion_error(problem: MedallionError) -> Response:
    if problem.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE and is_coded(request.environ):
        return error_response(problem.status, "Send the body as it is, without Content-Encoding.")
    return error_response(int(problem.status), str(problem.message))


def _bad_value(problem: BadValue) -> Response:
    return error_response(HTTPStatus.BAD_REQUEST, str(problem))


def _http_error(problem: HTTPException) -> Response:
    headers = {name: value for name, value in problem.get_headers() if name.lower() != "content-type"}
    return error_response(problem.code or 500, problem.description or problem.name, headers)


def _store_fault(problem: Exception) -> Response:
    note_fault(problem)
    return error_response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The store cannot do this at the moment; nothing was changed. Send the request again.",
        {"Retry-After": str(_RETRY_SECONDS)},
    )


def _fault(problem: Exception) -> Response:
    note_fault(problem)
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its operator finds why in its log.")


def note_fault(problem: BaseException) -> None:
    """Logs a defect."""
    # Where, never what: messages of exceptions quote values, and addresses of requests hold filters.
    frames = "".join(traceback.format_tb(problem.__traceback__))
    _log.error("%s %s: %s at\n%s", request.method, request.endpoint, type(problem).__name__, frames)
