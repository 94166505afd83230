"""A WSGI layer before all others that answer: it sends objects, by page or by id, and manifests, most of what is asked.

Whatever is out of the ordinary (no such page, no right, a wrong key, a filter that cannot be read)
goes on to the application, which knows the answer to it; nothing is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import parse_qs
from weakref import ref

from threatshare.errors import BadValue
from threatshare.model import Account, Collection, Micros, micros
from threatshare.ports import Clock
from threatshare.share.accounts import Gatekeeper
from threatshare.share.compressed import coding_for
from threatshare.share.connections import Connections
from threatshare.share.filters import MATCH_FIELDS, read_query
from threatshare.share.mediatypes import accepts_taxii
from threatshare.share.negotiation import Environ, StartResponse, WsgiApp
from threatshare.share.pagecache import PageCache, Resource, Sent
from threatshare.share.readlog import ReadLog
from threatshare.share.settings import ServeSettings
from threatshare.store.collections import collection_at
from threatshare.store.faults import StoreFault
from threatshare.store.pages import EntryFilter

_PATH = re.compile(
    "/([a-z0-9-]{1,64})/collections/([a-zA-Z0-9-]{1,64})/(?:(manifest)|objects(?:/([a-z0-9-]{1,100}))?)/?"
).fullmatch
_LIMIT = re.compile("[1-9][0-9]{0,8}").fullmatch
_OF_ONE = ("version", "spec_version")
"""Match fields of an object's own endpoint (TAXII 2.1 §5.6)."""
_PLAIN = re.compile("[!-~]*").fullmatch
"""Printable ASCII: anything else is left to the application to decode."""

_LASTS: Micros = 100_000
_MOST_ANSWERS = 1_024
_LONGEST_QUERY = 2_000
"""Characters of a query that is remembered; the application reads longer ones each time."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was found out while the store stood still: who has which key, and which page answers which request.

    Keys are kept as hashes only, and pages by those who may keep them: this alone keeps none in memory.
    """

    changes: int
    began: Micros
    accounts: dict[bytes, Account] = field(default_factory=dict)
    collections: dict[tuple[str, str], Collection] = field(default_factory=dict)
    answers: dict[tuple[bytes, str, str, str | None, str | None], tuple[Account, Collection, ref[Sent]]] = field(
        default_factory=dict
    )


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
        """Sends a page, or hands the request on."""
        sent = None
        path = _PATH(environ.get("PATH_INFO", "")) if environ["REQUEST_METHOD"] == "GET" else None
        if path is not None and len(environ.get("QUERY_STRING", "")) <= _LONGEST_QUERY:
            with suppress(StoreFault, BadValue):
                sent = self._sent(environ, path)
        if sent is None:
            return self._app(environ, start_response)
        start_response("200 OK", sent.headers)
        return [sent.body]

    def _sent(self, environ: Environ, path: re.Match[str]) -> Sent | None:
        now = micros(self._clock())
        moment = self._moment(now)
        header, query = environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", "")
        accepted, codings = environ.get("HTTP_ACCEPT"), environ.get("HTTP_ACCEPT_ENCODING")
        credentials = blake2b(header.encode("latin-1", "replace"), digest_size=16).digest()
        key = (credentials, path[0], query, accepted, codings)
        account, collection, kept = moment.answers.get(key, _NONE)
        sent = kept()
        if account is None or collection is None or sent is None:
            root, name, manifest, object_id = path.groups()
            account = moment.accounts.get(credentials) or self._account(moment, credentials, environ)
            collection = None if account is None else self._readable(moment, account, root, name)
            asked = None if collection is None else self._asked(query, collection.number, object_id)
            if account is None or collection is None or asked is None or not accepts_taxii(accepted):
                return None
            coding, resource = coding_for(codings), Resource.MANIFEST if manifest else Resource.OBJECTS
            sent = self._pages.sent(self._pages.page(collection, *asked, coding, resource), coding)
            if object_id is not None and not sent.spans:
                return None  # whether there is no such object, or no such version of it, changes the answer
            moment.answers[key] = account, collection, ref(sent)
        self._reads.note(account.name, collection, sent.spans, now)
        return sent

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

    def _readable(self, moment: _Moment, account: Account, root: str, name: str) -> Collection | None:
        found = moment.collections.get((root, name))
        if found is None:
            with self._connections.reading() as conn:
                found = collection_at(conn, root, name)
            if found is not None:
                moment.collections[root, name] = found
        return found if found is not None and found.alias in account.read else None

    def _read_query(self, text: str, collection: int, object_id: str | None) -> tuple[EntryFilter, int] | None:
        if _PLAIN(text) is None:
            return None
        query = _Query(parse_qs(text, keep_blank_values=True))
        limit = query.get("limit", [str(self._settings.default_page_size)])[0]
        if _LIMIT(limit) is None:
            return None
        try:
            wanted = read_query(query, self._next_key, collection, MATCH_FIELDS if object_id is None else _OF_ONE)
        except BadValue:
            return None
        if object_id is not None:
            wanted = replace(wanted, ids=(object_id,), types=())
        return wanted, min(int(limit), self._settings.max_page_size)


def _gone() -> None:
    """Stands for a page that is not there."""


_NONE = (None, None, _gone)


class _Query(dict[str, list[str]]):
    def getlist(self, key: str) -> list[str]:
        return self.get(key, [])
