"""One node, wired once: its files, its store, its clock. Everything above works on this."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from threatshare.config import (
    ASSETS_FILE,
    STORE_FILE,
    FeedSettings,
    FindingsSource,
    OwnAssets,
    Settings,
    load_assets,
    load_feeds,
    load_settings,
)
from threatshare.errors import StoreError, UsageError
from threatshare.findings.assertions import Own
from threatshare.model import (
    Account,
    Collection,
    CollectionKind,
    FeedReport,
    Micros,
    Observable,
    Tally,
    micros,
)
from threatshare.policy.agreements import Agreement, Inbound, load_agreements
from threatshare.policy.gate import Audience, Facts
from threatshare.policy.never_share import NeverShare, load_never_share
from threatshare.ports import Clock, FeedClient
from threatshare.publish import rescore_due
from threatshare.pull import Progress, pull, take
from threatshare.share.outlets import Outlet
from threatshare.stix.objects import identity, written
from threatshare.stix.received import Received
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.stix.tlp import tlp_named
from threatshare.store.agreements import keep_versions
from threatshare.store.collections import collections
from threatshare.store.connection import Connection, DatabaseError, open_reader, open_writer
from threatshare.store.embedded import Store
from threatshare.store.keys import object_key
from threatshare.store.lookups import OWN_ASSET
from threatshare.store.objects import current
from threatshare.store.removals import PRIVACY_KEY, privacy_key
from threatshare.store.runs import feed_state, save_run
from threatshare.store.settings import read_secret
from threatshare.store.sources import OWN, Source, sources
from threatshare.triage.benign import known_benign

if TYPE_CHECKING:
    from threatshare.arrivals import FollowedFile, Intake, WatchedFolder
    from threatshare.findings.readers import Site
    from threatshare.share.app import TaxiiApp

_PUBLISHED = (CollectionKind.SIEM, CollectionKind.INTERNAL, CollectionKind.PARTNER)


def system_clock() -> datetime:
    """Gives the present, UTC."""
    return datetime.now(UTC)


@dataclass
class Node:
    """A node directory and what is made of it; parts are opened when they are first needed."""

    directory: Path
    settings: Settings
    assets: OwnAssets
    clock: Clock = system_clock
    _stores: list[Store] = field(default_factory=list)
    _opening: Lock = field(default_factory=Lock)
    _assets_version: tuple[int, int, int] | None = None

    @cached_property
    def agreements(self) -> dict[str, Agreement]:
        """Every agreement by partner, in force or not."""
        return load_agreements(self.directory)

    @cached_property
    def feeds(self) -> dict[str, FeedSettings]:
        """Every feed by name."""
        return load_feeds(self.directory)

    @cached_property
    def never_share(self) -> NeverShare:
        """What never goes to another organisation."""
        return load_never_share(self.directory)

    @cached_property
    def privacy_key(self) -> bytes:
        """The secret under which private values are hashed where they are told of."""
        known = read_secret(self.store.conn, PRIVACY_KEY)
        if known is not None:
            return known
        with self.store.writing() as conn:
            return privacy_key(conn)

    @cached_property
    def readers(self) -> Site:
        """The site's own readers by name, from its field maps."""
        from threatshare.findings.formats.fieldmap import site_readers

        return site_readers(self.directory)

    @property
    def store(self) -> Store:
        """The store, open for writing; one, whichever of several threads needs it first."""
        with self._opening:
            if not self._stores:
                self._stores.append(Store(self.directory / STORE_FILE, self.cap_of))
            return self._stores[0]

    @property
    def intake(self) -> Intake:
        """What findings are taken in with."""
        # Here and below, since commands that only ask need nothing of it.
        from threatshare.arrivals import Intake

        return Intake(self.store, lambda: self.own, self.now, lambda: self.readers)

    @property
    def own(self) -> Own:
        """Who we are, for building our own objects."""
        sharing = self.settings.sharing
        return Own(
            self.settings.node.identity,
            self.assets,
            tlp_named(sharing.default_tlp),
            sharing.default_confidence,
        )

    def now(self) -> Micros:
        """Gives the present in microseconds."""
        return micros(self.clock())

    def today(self) -> date:
        """Gives the present day, UTC, by which agreements begin and end."""
        return self.clock().date()

    def open_reader(self) -> Connection:
        """Opens a connection that only reads."""
        return open_reader(self.directory / STORE_FILE)

    def open_writer(self) -> Connection:
        """Opens one more writing connection, for a server's worker."""
        return open_writer(self.directory / STORE_FILE)

    def cap_of(self, observable: Observable) -> str | None:
        """Tells whether an observable is ours or known benign, which caps its score."""
        return OWN_ASSET if self.assets.owns(observable) else known_benign(observable, self.settings.node.purpose)

    def forget_files(self) -> None:
        """Has the files that people change while the daemon runs read anew."""
        for name in ("agreements", "feeds", "readers", "never_share"):
            self.__dict__.pop(name, None)
        file = self.directory / ASSETS_FILE
        told = file.stat() if file.exists() else None
        version = (told.st_ino, told.st_size, told.st_mtime_ns) if told else None
        if version is None or version != self._assets_version:
            self.assets, self._assets_version = load_assets(self.directory), version

    def facts(self) -> Facts:
        """Gives what every decision of the gate takes as given."""
        node = self.settings.node
        return Facts(
            self.assets,
            node.purpose,
            node.identity,
            self.today(),
            self.agreements,
            self.settings.sharing.siem_floor,
            self.never_share,
            self.privacy_key,
        )

    def outlets(self) -> list[Outlet]:
        """Gives every collection that this node publishes into, with its audience; agreements are read anew."""
        self.forget_files()
        facts, now, node = self.facts(), whole_milliseconds(self.now()), self.settings.node
        us = written(identity(node.identity, node.name, node.sector, node.created))
        keep_versions(self.store, self.directory, self.agreements, self.today(), now)
        return [
            Outlet(one, self.audience(one), facts, us, now)
            for one in collections(self.store.conn)
            if one.kind in _PUBLISHED
        ]

    def audience(self, collection: Collection) -> Audience:
        """Gives whom a collection is for."""
        agreement = self.agreements.get(collection.partner) if collection.partner else None
        return Audience(collection.alias, collection.kind, agreement)

    def rescore(self) -> int:
        """Scores anew what time alone has moved to another band; gives how many observables that were."""
        return rescore_due(self.store, self.now())

    def feed(self, name: str) -> FeedSettings:
        """Gives a feed's settings; raises UsageError that names the feeds there are."""
        if name not in self.feeds:
            raise UsageError(f"there is no feed {name!r}; known: {', '.join(self.feeds) or 'none (see feed add)'}")
        return self.feeds[name]

    def source_of(self, name: str, settings: FeedSettings) -> Source:
        """Gives the source that a feed's claims come from."""
        return self.store.source(name, "feed", settings.reliability, tlp_named(settings.default_tlp), settings.lineage)

    def client_of(self, name: str, settings: FeedSettings) -> FeedClient:
        """Gives the client that brings a feed's objects."""
        # Here, since requests takes longer to import than most commands take.
        from threatshare.feeds.clients import client_for

        return client_for(name, settings, self.directory, clock=self.clock)

    def pull_feed(self, name: str, progress: Progress) -> FeedReport:
        """Runs one feed once and records how it went; a fault of the partner is in the report."""
        settings, started = self.feed(name), self.now()
        source = self.source_of(name, settings)
        report = pull(
            self.store, source, self.client_of(name, settings), self.settings.node.identity, self.now, progress
        )
        self.record_run(report, started)
        return report

    def record_run(self, report: FeedReport, started: Micros) -> None:
        """Records how a run went; when the feed is due next, the daemon decides."""
        with self.store.writing() as conn:
            before = feed_state(conn, report.feed)
            ok = report.status == "ok"
            after = replace(
                before,
                last_run=started,
                last_success=started if ok else before.last_success,
                next_run=None,
                failures=0 if ok else before.failures + 1,
                report=json.dumps(asdict(report)),
            )
            save_run(conn, after)

    def accept(
        self, collection: Collection, account: Account, objects: Sequence[tuple[bytes, Received]], now: Micros
    ) -> list[str | None]:
        """Takes what a partner posted to an inbox, as a feed's objects are taken; says for each why it was not."""
        sender = self.facts().agreement_with(account.name)
        inbound = sender.inbound if sender else Inbound()
        source = self.store.source(account.name, "partner", inbound.reliability, tlp_named(inbound.default_tlp))
        us = self.settings.node.identity
        rejects = take(self.store, source, [raw for raw, _ in objects], us, now, Tally(), lambda: None)
        reasons = {one.place: one.reason for one in rejects}
        return [reasons.get(received.id) for _, received in objects]

    def take_posted(self, body: bytes, format: str | None, account: str) -> tuple[dict[str, Any], str | None]:
        """Takes findings that a tool has pushed, as ``arrivals.take_posted`` does."""
        from threatshare.arrivals import take_posted

        self.forget_files()
        return take_posted(self.intake, body, format, account)

    def source(self, settings: FindingsSource) -> FollowedFile | WatchedFolder:
        """Gives what takes findings from a log or folder; raises UsageError where there is no reader of that name."""
        from threatshare.arrivals import source_of

        path = (self.directory / settings.path).absolute()
        return source_of(self.intake, path, settings.kind, settings.format)

    def name_of(self, object_id: str) -> str | None:
        """Gives what an object of ours is called, which for an indicator is its value; None where we have none."""
        own = sources(self.store.conn).get(OWN)
        body = current(self.store.conn, object_key(self.store.key_of, own.number, object_id)) if own else None
        return None if body is None else str(json.loads(body).get("name", ""))

    def close(self) -> None:
        """Closes the store, where it was opened."""
        while self._stores:
            self._stores.pop().close()


@dataclass(frozen=True, slots=True)
class ServerApp:
    """Makes a node's TAXII application, once in each worker process; only a path, so that it can be sent there."""

    directory: Path

    def __call__(self) -> TaxiiApp:
        """Opens the node in this process and gives its application."""
        from threatshare.policy.gate import may_exchange
        from threatshare.share.app import create_app
        from threatshare.share.connections import Connections
        from threatshare.share.settings import ServeSettings

        node = build_node(self.directory)
        serve = node.settings.serve
        settings = ServeSettings(
            title=node.settings.node.name,
            public_url=serve.public_url,
            default_page_size=serve.default_page_size,
            max_page_size=serve.max_page_size,
            max_content_length=serve.max_content_length,
            open_discovery=serve.open_discovery,
            trusted_proxies=serve.trusted_proxies,
            contact=serve.contact,
        )
        connections = Connections(node.open_reader, node.open_writer)
        return create_app(connections, settings, node.accept, may_exchange, node.clock, node.take_posted)


def build_node(directory: Path, clock: Clock = system_clock) -> Node:
    """Reads a node directory; raises ConfigurationError with file, key and what was wanted."""
    return Node(directory, load_settings(directory), load_assets(directory), clock)


@contextmanager
def opened(directory: Path, clock: Clock = system_clock) -> Iterator[Node]:
    """Builds a node for one command and closes it afterwards; what SQLite complains about is a StoreError."""
    node = build_node(directory, clock)
    try:
        yield node
    except DatabaseError as problem:
        raise StoreError(f"{directory / STORE_FILE}: {problem}") from problem
    finally:
        node.close()
