"""The TAXII server as a WSGI application: medallion's blueprints on an application of our own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask
from medallion.views import collections, discovery, manifest, objects

from threatshare.model import CollectionKind
from threatshare.ports import Clock
from threatshare.share import security_txt
from threatshare.share.accesslog import access_log
from threatshare.share.accounts import Gatekeeper, ask_first, register_accounts
from threatshare.share.backend import EntryBackend
from threatshare.share.bodies import BodyProvider
from threatshare.share.clients import Clients
from threatshare.share.compressed import Compressed
from threatshare.share.connections import Connections
from threatshare.share.errors import QuietFlask, register_errors
from threatshare.share.exchange import Agreed, MayExchange, exchange_acceptor
from threatshare.share.findings import FindingsDoor, TakePosted, findings_blueprint
from threatshare.share.health import Readiness, health
from threatshare.share.measured import Measured
from threatshare.share.metrics import Metrics, MetricsPage
from threatshare.share.negotiation import Environ, Negotiation, StartResponse, WsgiApp
from threatshare.share.pagecache import PageCache
from threatshare.share.posting import Accept, admission
from threatshare.share.readlog import ReadLog
from threatshare.share.readypages import ReadyPages
from threatshare.share.settings import ServeSettings
from threatshare.share.sidepages import Page, SidePages
from threatshare.share.unsent import Unsent
from threatshare.share.uploads import TaxiiRequest, Uploads, register_uploads
from threatshare.store.settings import NEXT_KEY, make_secret, read_secret

BLUEPRINTS = (
    discovery.discovery_bp,
    collections.collections_bp,
    manifest.manifest_bp,
    objects.objects_bp,
)
_MOST_UPLOADS = 192
_MOST_UPLOADS_OF_ACCOUNT = 64
_KEPT_UPLOADS = 64


class TaxiiApp:
    """A WSGI callable; ``close()`` writes what it still holds and is to be called at the end."""

    def __init__(
        self,
        wsgi: WsgiApp,
        connections: Connections,
        reads: ReadLog,
        pages: PageCache,
        metrics: Metrics,
        routes: Sequence[str],
    ) -> None:
        self._wsgi = wsgi
        self._connections = connections
        self._reads = reads
        self._pages = pages
        self._metrics = metrics
        self.routes = tuple(routes)
        """Every address at which there is anything, in Werkzeug's notation."""
        self._leaving = False

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request."""
        if self._leaving:
            return self._wsgi(environ, _closing(start_response))
        return self._wsgi(environ, start_response)

    def leave(self) -> None:
        """Has every connection closed behind its next answer, since this worker is to end."""
        self._leaving = True

    def close(self) -> None:
        """Writes the reads that are not recorded yet and closes the store."""
        self._pages.close()
        self._reads.close()
        self._connections.close()
        self._metrics.close()


def _closing(start_response: StartResponse) -> StartResponse:
    def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, ("Connection", "close")], *more)

    return begin


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def create_app(
    connections: Connections,
    settings: ServeSettings,
    accept: Accept,
    may_exchange: MayExchange,
    clock: Clock = utc_now,
    take_posted: TakePosted | None = None,
    agreed: Agreed | None = None,
) -> TaxiiApp:
    """Makes the application of one worker process.

    ``accept`` takes what partners post to inboxes and exercises; ``may_exchange`` says which objects members of an
    exchange collection may pass on; ``take_posted`` takes findings that tools push (None: none are
    taken); ``agreed`` what the members of an exchange have agreed on (None: nothing). Threads are started,
    so call it after forking.
    """
    next_key = _next_key(connections)
    reads, pages = ReadLog(connections), PageCache(connections, next_key)
    acceptors = {
        CollectionKind.INBOX: accept,
        CollectionKind.EXCHANGE: exchange_acceptor(connections, may_exchange, agreed),
        CollectionKind.EXERCISE: accept,
    }
    metrics = Metrics()
    gatekeeper = Gatekeeper(connections, clock, settings.open_discovery, metrics.failed_login)
    uploads = Uploads(_MOST_UPLOADS, _MOST_UPLOADS_OF_ACCOUNT, _KEPT_UPLOADS)
    app = _flask(settings, gatekeeper, uploads, BLUEPRINTS)
    app.medallion_backend = EntryBackend(  # type: ignore[attr-defined]
        connections, settings, acceptors, next_key, reads, pages, clock
    )
    wsgi: WsgiApp = Negotiation(Compressed(app.wsgi_app))
    routes = [rule.rule for rule in app.url_map.iter_rules()]
    if take_posted is not None:
        admit = admission(connections, settings.daily)
        webhook = _flask(settings, gatekeeper, uploads, [findings_blueprint(connections, take_posted, admit, clock)])
        wsgi = FindingsDoor(webhook.wsgi_app, wsgi, gatekeeper, connections)
        routes += [rule.rule for rule in webhook.url_map.iter_rules()]
    pages_beside: dict[str, Page] = {
        "/health": health,
        "/ready": Readiness(connections, settings.certificate, clock),
        "/metrics": MetricsPage(metrics, connections, settings, gatekeeper, clock),
        security_txt.PATH: security_txt.SecurityTxt(settings.own_contact, clock),
    }
    wsgi = SidePages(wsgi, pages_beside)
    wsgi = ReadyPages(wsgi, connections, settings, gatekeeper, pages, reads, next_key, clock)
    wsgi = Unsent(wsgi)
    wsgi = Measured(wsgi, metrics, access_log(settings.access_log) if settings.access_log else None)
    wsgi = Clients(wsgi, settings, gatekeeper)
    return TaxiiApp(wsgi, connections, reads, pages, metrics, [*routes, *pages_beside])


def _next_key(connections: Connections) -> bytes:
    # Writing waits for whoever writes now, so a worker does it only where none did before.
    with connections.reading() as conn:
        known = read_secret(conn, NEXT_KEY)
    if known is not None:
        return known
    with connections.writing() as conn:
        return make_secret(conn, NEXT_KEY)


def _flask(settings: ServeSettings, gatekeeper: Gatekeeper, uploads: Uploads, blueprints: Sequence[Blueprint]) -> Flask:
    app = QuietFlask("threatshare", static_folder=None, template_folder=None)
    app.json = BodyProvider(app)
    app.request_class = TaxiiRequest
    # One more than is taken, so that a body of unknown length is known to be longer.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_content_length + 1
    # Without credentials only discovery answers, OPTIONS does not either.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.taxii_config = {"max_page_size": settings.max_page_size}  # type: ignore[attr-defined]
    # Flask-HTTPAuth asks medallion for a password before it asks our gatekeeper.
    app.users_backend = {}  # type: ignore[attr-defined]
    register_accounts(app.extensions, gatekeeper)
    app.before_request(ask_first)
    register_uploads(app.extensions, uploads)
    register_errors(app)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app
