"""A WSGI layer before the application that sends pages which need not be built.

Whatever is out of the ordinary (no such page, no right, a wrong key, a filter that cannot be read)
goes on to the application, which knows the answer to it; nothing is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import parse_qs

from threatshare.errors import BadValue
from threatshare.model import Account, Collection, Micros, micros
from threatshare.ports import Clock
from threatshare.share.accounts import Gatekeeper
from threatshare.share.bodies import TAXII
from threatshare.share.connections import Connections
from threatshare.share.filters import OBJECT_FIELDS, read_query
from threatshare.share.negotiation import HEAD_ONLY, Environ, StartResponse, WsgiApp
from threatshare.share.pagecache import Built, PageCache
from threatshare.share.readlog import ReadLog
from threatshare.share.settings import ServeSettings
from threatshare.store.collections import collection_by_alias, collection_by_id
from threatshare.store.faults import StoreFault
from threatshare.store.pages import EntryFilter

_OBJECTS = re.compile("/api/collections/([a-zA-Z0-9-]{1,64})/objects/").fullmatch
_LIMIT = re.compile("[1-9][0-9]{0,8}").fullmatch
_PLAIN = re.compile("[!-~]*").fullmatch
"""Printable ASCII: anything else is left to the application to decode."""

_LASTS: Micros = 1_000_000
_MOST_ANSWERS = 1_024


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was found out while the store stood still: who has which key, and which page answers which request.

    Keys are kept as hashes only.
    """

    changes: int
    began: Micros
    accounts: dict[bytes, Account] = field(default_factory=dict)
    answers: dict[tuple[bytes, str, str], tuple[Account, Collection, Built]] = field(default_factory=dict)


class ReadyPages:
    """Wraps the application."""

    def __init__(
        self,
        app: WsgiApp,
        connections: Connections,
        settings: ServeSettings,
        gatekeeper: Gatekeeper,
        pages: PageCache,
        reads: ReadLog,
        next_key: bytes,
        clock: Clock,
    ) -> None:
        self._app = app
        self._connections = connections
        self._settings = settings
        self._gatekeeper = gatekeeper
        self._pages = pages
        self._reads = reads
        self._next_key = next_key
        self._clock = clock
        self._last = _Moment(-1, 0)
        self._asked = lru_cache(maxsize=1_024)(self._read_query)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Sends a ready page, or hands the request on."""
        try:
            built = self._ready(environ)
        except StoreFault:
            built = None
        if built is None:
            return self._app(environ, start_response)
        start_response(
            "200 OK",
            [*built.headers.items(), ("Content-Type", TAXII), ("Content-Length", str(len(built.body)))],
        )
        return [built.body]

    def _ready(self, environ: Environ) -> Built | None:
        path = _OBJECTS(environ["PATH_INFO"])
        plain = environ["REQUEST_METHOD"] == "GET" and environ["HTTP_ACCEPT"] == TAXII and HEAD_ONLY not in environ
        if path is None or not plain:
            return None
        now = micros(self._clock())
        moment = self._moment(now)
        header, query = environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", "")
        credentials = blake2b(header.encode("latin-1", "replace"), digest_size=16).digest()
        key = (credentials, path[1], query)
        answer = moment.answers.get(key)
        if answer is None:
            account = moment.accounts.get(credentials) or self._account(moment, credentials, environ)
            answer = None if account is None else self._answer(account, path[1], query)
            if answer is None:
                return None
            moment.answers[key] = answer
        account, collection, built = answer
        self._reads.note(account.name, collection, built.spans, now)
        return built

    def _moment(self, now: Micros) -> _Moment:
        """Gives what holds as long as nobody commits anything, and not for longer than keys take to expire."""
        changes, last = self._connections.changes(), self._last
        stands = changes == last.changes and 0 <= now - last.began < _LASTS
        if not stands or len(last.answers) > _MOST_ANSWERS:
            last = self._last = _Moment(changes, now)
        return last

    def _account(self, moment: _Moment, credentials: bytes, environ: Environ) -> Account | None:
        found = self._gatekeeper.recognised(environ.get("HTTP_AUTHORIZATION"), environ.get("REMOTE_ADDR", ""))
        if found is not None:
            moment.accounts[credentials] = found
        return found

    def _answer(self, account: Account, name: str, query: str) -> tuple[Account, Collection, Built] | None:
        collection = self._readable(account, name)
        asked = None if collection is None else self._asked(query, collection.number)
        if collection is None or asked is None:
            return None
        built = self._pages.kept(collection, *asked)
        return None if built is None else (account, collection, built)

    def _readable(self, account: Account, name: str) -> Collection | None:
        with self._connections.reading() as conn:
            found = collection_by_id(conn, name) or collection_by_alias(conn, name)
        return found if found is not None and found.alias in account.read else None

    def _read_query(self, text: str, collection: int) -> tuple[EntryFilter, int] | None:
        if _PLAIN(text) is None:
            return None
        query = _Query(parse_qs(text, keep_blank_values=True))
        limit = query.get("limit", [str(self._settings.default_page_size)])[0]
        if _LIMIT(limit) is None:
            return None
        try:
            wanted = read_query(query, self._next_key, collection, OBJECT_FIELDS)
        except BadValue:
            return None
        return wanted, min(int(limit), self._settings.max_page_size)


class _Query(dict[str, list[str]]):
    def getlist(self, key: str) -> list[str]:
        return self.get(key, [])
