"""Pages beside TAXII, each at one fixed address: health, readiness, metrics and what else a server tells of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from threatshare.errors import StoreError
from threatshare.share.accounts import CHALLENGES, WHO
from threatshare.share.bodies import TAXII
from threatshare.share.errors import Refused, error_body
from threatshare.share.negotiation import Environ, StartResponse, WsgiApp
from threatshare.store.faults import StoreFault

_log = logging.getLogger(__name__)
_TEXT = "text/plain; charset=utf-8"
_METHODS = ("GET", "HEAD")
_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """What a page says."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "no-store"),)


Page = Callable[[Environ], Reply | None]
"""Answers GET; None where there is nothing for whoever asks. Raises Refused, and StoreFault or StoreError."""


class SidePages:
    """Leads requests for these pages to them, and all others on."""

    def __init__(self, app: WsgiApp, pages: Mapping[str, Page]) -> None:
        self._app = app
        self._pages = dict(pages)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request."""
        page = self._pages.get(environ.get("PATH_INFO", "").rstrip("/"))
        reply = None if page is None else _reply(page, environ)
        if reply is None:
            return self._app(environ, start_response)
        headers = [*reply.headers, ("Content-Type", reply.content_type), ("Content-Length", str(len(reply.body)))]
        start_response(f"{reply.status.value} {reply.status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]


def _reply(page: Page, environ: Environ) -> Reply | None:
    try:
        reply = page(environ)  # which asks who is there, before anybody learns what can be done here
        if reply is not None and environ["REQUEST_METHOD"] not in _METHODS:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "This page can only be read.", {"Allow": ", ".join(_METHODS)})
        return reply
    except Refused as problem:
        body = error_body(problem.status, str(problem))
        challenges = CHALLENGES if problem.status == HTTPStatus.UNAUTHORIZED else ()
        return Reply(body, problem.status, TAXII, (*challenges, *problem.headers.items()))
    except (StoreFault, StoreError) as problem:
        _log.error("%s: the store cannot be read: %s", environ.get("PATH_INFO"), problem)
        status = HTTPStatus.SERVICE_UNAVAILABLE
        body = error_body(status, "The store cannot do this at the moment. Send the request again.")
        return Reply(body, status, TAXII, (("Retry-After", str(_RETRY_SECONDS)),))


def unauthorized() -> Refused:
    """Gives what is raised where a page needs an account and none is shown."""
    return Refused(HTTPStatus.UNAUTHORIZED, WHO)
