"""A TAXII application over a store of its own, and a client that speaks to it without a network."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

from werkzeug.test import Client

from clocks import FixedClock
from threatshare.model import DEFAULT_ROOT, Account, Collection, CollectionKind, Micros, View, micros
from threatshare.share.app import TaxiiApp, create_app
from threatshare.share.connections import Connections
from threatshare.share.exchange import Agreed
from threatshare.share.findings import TakePosted
from threatshare.share.settings import ServeSettings
from threatshare.stix.received import Received
from threatshare.stix.timestamps import read_timestamp
from threatshare.store.accounts import add_account
from threatshare.store.collections import add_collection, collection_by_alias
from threatshare.store.connection import open_reader, open_writer, transaction
from threatshare.store.entries import NewEntry, append_entries
from threatshare.store.settings import NEXT_KEY, make_secret

TAXII = "application/taxii+json;version=2.1"


@cache
def _migrated() -> Path:
    """Makes one empty store for all tests of a run: migrating it takes longer than most tests."""
    folder = tempfile.mkdtemp(prefix="threatshare-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder) / "store.db"
    conn = open_writer(file)
    with transaction(conn):
        make_secret(conn, NEXT_KEY)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()
    return file


def stix_id(number: int, kind: str = "indicator") -> str:
    """Gives the id of the object of a number."""
    return f"{kind}--{UUID(int=number, version=4)}"


def indicator(number: int, modified: str = "2026-01-01T00:00:00.000Z", **more: Any) -> dict[str, Any]:
    """Builds an indicator that every reader accepts."""
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": stix_id(number),
        "created": "2025-12-01T00:00:00.000Z",
        "modified": modified,
        "name": f"number {number}",
        "pattern": f"[ipv4-addr:value = '198.51.100.{number % 256}']",
        "pattern_type": "stix",
        "valid_from": "2025-12-01T00:00:00Z",
        **more,
    }


def entry(thing: dict[str, Any], owner: str = "") -> NewEntry:
    """Makes a served entry of an object."""
    version = read_timestamp(thing["modified"]) if "modified" in thing else 0
    spec_version = thing.get("spec_version", "2.0" if "created" in thing else "2.1")
    return NewEntry(thing["id"], version, thing["type"], spec_version, json.dumps(thing).encode(), owner)


def basic(name: str, key: str) -> str:
    """Writes a Basic Authorization header."""
    return "Basic " + b64encode(f"{name}:{key}".encode()).decode()


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def objects(self) -> list[Any]:
        """The objects of an envelope or manifest; none where the list is left out."""
        objects: list[Any] = self.json.get("objects", [])
        return objects


@dataclass
class Inbox:
    """An accept function that keeps what it was given and answers as told."""

    taken: list[tuple[str, str, bytes]] = field(default_factory=list)
    refuse: Callable[[Received], str | None] = lambda _: None

    def __call__(
        self,
        collection: Collection,
        account: Account,
        objects: Sequence[tuple[bytes, Received]],
        _now: Micros,
    ) -> list[str | None]:
        """Takes objects."""
        outcomes = [self.refuse(received) for _, received in objects]
        self.taken += [
            (collection.alias, account.name, raw)
            for (raw, _), outcome in zip(objects, outcomes, strict=True)
            if outcome is None
        ]
        return outcomes


class TaxiiNode:
    """Use as a context manager; collections and accounts are added as a test needs them."""

    def __init__(
        self,
        folder: Path,
        settings: ServeSettings | None = None,
        may_exchange: Callable[[bytes, Received], str | None] = lambda _raw, _received: None,
        clock: Callable[[], datetime] | None = None,
        take_posted: TakePosted | None = None,
        agreed: Agreed | None = None,
    ) -> None:
        self.file = folder / "store.db"
        self.clock = clock or FixedClock()
        shutil.copyfile(_migrated(), self.file)
        self.writer = open_writer(self.file)
        self.inbox = Inbox()
        self.keys: dict[str, str] = {}
        self.peer = "127.0.0.1"
        """Address that requests come from."""
        self._settings = settings or ServeSettings()
        self._may_exchange = may_exchange
        self._take_posted = take_posted
        self._agreed = agreed
        self.app: TaxiiApp = self.make_app()

    def make_app(self) -> TaxiiApp:
        """Makes an application over the store, as each worker does."""
        opened = Connections(partial(open_reader, self.file), partial(open_writer, self.file))
        take_posted, agreed = self._take_posted, self._agreed
        return create_app(opened, self._settings, self.inbox, self._may_exchange, self.clock, take_posted, agreed)

    def __enter__(self) -> TaxiiNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.app.close()
        self.writer.close()

    @property
    def now(self) -> Micros:
        """What the node's clock shows."""
        return micros(self.clock())

    def collection(
        self,
        alias: str,
        kind: CollectionKind = CollectionKind.INTERNAL,
        root: str = DEFAULT_ROOT,
        view: View = View(),  # noqa: B008  frozen
    ) -> Collection:
        """Gives the collection of that alias, made where there is none."""
        found = collection_by_alias(self.writer, alias)
        if found is None:
            with transaction(self.writer):
                found = add_collection(self.writer, alias, f"Collection {alias}", kind, None, self.now, root, view)
        return found

    def account(self, name: str, read: Sequence[str] = (), write: Sequence[str] = ()) -> str:
        """Makes an account and remembers its key, so that requests may name it."""
        with transaction(self.writer):
            self.keys[name] = add_account(self.writer, name, read, write, self.now)
        return self.keys[name]

    def publish(self, alias: str, *objects: dict[str, Any]) -> int:
        """Appends objects to a collection as this node itself."""
        with transaction(self.writer):
            return append_entries(self.writer, self.collection(alias), [entry(one) for one in objects], self.now)

    def request(
        self,
        method: str,
        path: str,
        account: str | None = None,
        query: dict[str, Any] | str | None = None,
        body: Any = None,
        app: TaxiiApp | None = None,
        **headers: str,
    ) -> Answer:
        """Sends one request; header names are written with underscores, and None as a header leaves it out."""
        sent = {"Accept": TAXII} | ({"Content-Type": TAXII} if body is not None else {})
        if account is not None:
            sent["Authorization"] = basic(account, self.keys[account])
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = Client(app or self.app).open(
            path,
            method=method,
            query_string=query,
            data=data,
            headers=[(name, value) for name, value in sent.items() if value != "-"],
            content_type=sent.get("Content-Type"),
            environ_overrides={"REMOTE_ADDR": self.peer},
        )
        return Answer(answer.status_code, dict(answer.headers), answer.data)

    def get(
        self, path: str, account: str | None = None, query: dict[str, Any] | str | None = None, **headers: str
    ) -> Answer:
        """Sends a GET."""
        return self.request("GET", path, account, query, None, None, **headers)

    def drain(self, alias: str, account: str, query: dict[str, Any], part: str = "objects") -> list[list[Any]]:
        """Follows ``next`` to the end, sending the query each time; gives the pages."""
        pages: list[list[Any]] = []
        asked = dict(query)
        while True:
            answer = self.get(f"/api/collections/{alias}/{part}/", account, asked)
            assert answer.status == 200, answer
            pages.append(answer.objects)
            if not answer.json["more"]:
                assert "next" not in answer.json
                return pages
            assert answer.objects, "more: true beside an empty page"
            asked = {**query, "next": answer.json["next"]}
