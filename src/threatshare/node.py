"""One node, wired once: its files, its store, its clock. Everything above works on this."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from threatshare.admission.objects import take
from threatshare.config import (
    ASSETS_FILE,
    STORE_FILE,
    FindingsSource,
    OwnAssets,
    Settings,
    load_assets,
    load_settings,
)
from threatshare.errors import StoreError, UsageError
from threatshare.feed_runs import Run, record, run_feed
from threatshare.feed_settings import FEEDS_DIR, FeedFiles, FeedSettings, read_feeds
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
from threatshare.policy.agreements import Agreement, Inbound, load_agreements, standing
from threatshare.policy.disguise import UNTOLD, wants_disguise
from threatshare.policy.gate import Audience, Facts
from threatshare.policy.introduction import disguise_of, introduction
from threatshare.policy.never_share import NeverShare, load_never_share
from threatshare.ports import Clock, FeedClient, Heard, ListClient
from threatshare.publish import rescore_due
from threatshare.pull import Progress
from threatshare.share.outlets import Outlet
from threatshare.stix.objects import identity, written
from threatshare.stix.received import Received
from threatshare.stix.timestamps import whole_milliseconds
from threatshare.stix.tlp import tlp_named
from threatshare.store.agreements import Acting, acting, keep_versions
from threatshare.store.collections import collections
from threatshare.store.connection import Connection, DatabaseError, open_reader, open_writer
from threatshare.store.disguises import DISGUISE_KEY
from threatshare.store.embedded import Store
from threatshare.store.feed_alarms import watch_own
from threatshare.store.keys import object_key
from threatshare.store.lookups import OWN_ASSET
from threatshare.store.objects import current
from threatshare.store.removals import PRIVACY_KEY, privacy_key
from threatshare.store.rights import ties
from threatshare.store.senders import check_feed_source, inbox_source
from threatshare.store.settings import make_secret, read_secret
from threatshare.store.sources import OWN, Source, sources
from threatshare.triage.benign import known_benign

if TYPE_CHECKING:
    from threatshare.arrivals import FollowedFile, Intake, WatchedFolder
    from threatshare.findings.readers import Site
    from threatshare.policy.profile_bundles import Record
    from threatshare.policy.profile_terms import Profile
    from threatshare.share.app import TaxiiApp
    from threatshare.share.exchange import ExchangeTerms

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
    def acting(self) -> dict[str, Acting]:
        """Every agreement by partner, as its file has it and as it acts: what loosens waits for two persons."""
        return acting(self.store.conn, load_agreements(self.directory))

    @property
    def agreements(self) -> dict[str, Agreement]:
        """Every agreement by partner as it acts, in force or not."""
        return {partner: one.agreement for partner, one in self.acting.items()}

    @cached_property
    def feed_files(self) -> FeedFiles:
        """Every feed by name, and what is wrong with the files of those that cannot be pulled."""
        return read_feeds(self.directory)

    @property
    def feeds(self) -> dict[str, FeedSettings]:
        """Every feed by name whose file can be read."""
        return self.feed_files.feeds

    @cached_property
    def never_share(self) -> NeverShare:
        """What never goes to another organisation."""
        return load_never_share(self.directory)

    @cached_property
    def profiles(self) -> dict[str, Profile]:
        """Every profile that can be read, by name; what is wrong with others, ``doctor`` says."""
        from threatshare.policy.profiles import read_profiles

        return read_profiles(self.directory)[0]

    @cached_property
    def disguise_key(self) -> bytes:
        """The secret from which follows who we are for partners that are not told who we are."""
        known = read_secret(self.store.conn, DISGUISE_KEY)
        if known is not None:
            return known
        with self.store.writing() as conn:
            return make_secret(conn, DISGUISE_KEY)

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
            self.for_exercises,
        )

    @property
    def for_exercises(self) -> bool:
        """Whether the whole node is for exercises; on any other, exercise data stays apart from what is live."""
        return self.settings.node.purpose == "exercise"

    @property
    def identity_object(self) -> bytes:
        """Our Identity, as it goes along with what names us."""
        node = self.settings.node
        return written(identity(node.identity, node.name, node.sector, node.created))

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
        for name in ("acting", "feed_files", "readers", "never_share", "profiles"):
            self.__dict__.pop(name, None)
        file = self.directory / ASSETS_FILE
        told = file.stat() if file.exists() else None
        version = (told.st_ino, told.st_size, told.st_mtime_ns) if told else None
        if version is None or version != self._assets_version:
            self.assets, self._assets_version = load_assets(self.directory), version

    def facts(self, under: Mapping[str, Agreement] | None = None) -> Facts:
        """Gives what every decision of the gate takes as given; ``under`` other agreements, if these are given."""
        node = self.settings.node
        agreements = self.agreements if under is None else under
        profiled = any(one.outbound.profile is not None for one in agreements.values())
        return Facts(
            self.assets,
            node.purpose,
            node.identity,
            self.today(),
            agreements,
            self.settings.sharing.siem_floor,
            self.never_share,
            self.privacy_key,
            self.profiles if profiled else {},
            self._certificates() if profiled else {},
            node.name,
            (node.country, node.administrative_area),
            ties(self.store.conn),
        )

    def _certificates(self) -> Mapping[str, tuple[Record, ...]]:
        # Here, since it knows how partners are reached, which takes longer to import than most commands take.
        from threatshare.share.delivery_certificates import delivery_certificates

        return delivery_certificates(self.directory, self.store.conn)

    def outlets(self) -> list[Outlet]:
        """Gives every collection that this node publishes into, with its audience; agreements are read anew."""
        self.forget_files()
        facts, now = self.facts(), whole_milliseconds(self.now())
        filed = {partner: one.filed for partner, one in self.acting.items()}
        keep_versions(self.store, self.directory, filed, self.today(), now)
        if self._bind_sources(facts):
            self.rescore()  # before anything leaves by what several sources of one partner were worth
        return [self.outlet(one, facts, now) for one in collections(self.store.conn) if one.kind in _PUBLISHED]

    def outlet(self, collection: Collection, facts: Facts, now: Micros) -> Outlet:
        """Gives the way out into one collection, as the agreements of ``facts`` have it."""
        audience = self.audience(collection, facts)
        identity, *place = introduction(self.settings.node, audience, facts)
        return Outlet(collection, audience, facts, identity, now, tuple(place))

    def audience(self, collection: Collection, facts: Facts) -> Audience:
        """Gives whom a collection is for, and who we are for them."""
        agreement = facts.agreements.get(collection.partner) if collection.partner else None
        hidden = agreement is not None and wants_disguise(agreement.outbound)
        disguise = disguise_of(agreement, self.settings.node, self.disguise_key) if agreement and hidden else None
        return Audience(collection.alias, collection.kind, agreement, disguise=disguise)

    def rescore(self) -> int:
        """Scores anew what time alone has moved to another band; gives how many observables that were."""
        return rescore_due(self.store, self.now())

    def feed(self, name: str) -> FeedSettings:
        """Gives a feed's settings; raises UsageError where its file is wrong, or that names the feeds there are."""
        feeds, faults = self.feed_files
        if name in faults:
            raise UsageError(f"feed {name} cannot be used: {faults[name]}")
        if name not in feeds:
            raise UsageError(f"there is no feed {name!r}; known: {', '.join(feeds) or 'none (see feed add)'}")
        return feeds[name]

    def source_of(self, name: str, settings: FeedSettings) -> Source:
        """Gives the source that a feed's claims come from; raises ConfigurationError where it is an account's."""
        check_feed_source(self.store.conn, name, lambda: self.facts().agreement_of(name))
        return self.store.source(name, "feed", settings.reliability, tlp_named(settings.default_tlp), settings.lineage)

    def client_of(
        self, name: str, settings: FeedSettings, heard: Heard = lambda received, total: None
    ) -> FeedClient | ListClient:
        """Gives the client that brings a feed's objects; ``heard`` is told how each answer comes in."""
        # Here, since requests takes longer to import than most commands take.
        from threatshare.feeds.clients import client_for

        return client_for(name, settings, self.directory, clock=self.clock, heard=heard)

    def pull_feed(
        self,
        name: str,
        progress: Progress,
        believed_by: str | None = None,
        asked: Callable[[], bool] = lambda: False,
        settings: FeedSettings | None = None,
        heard: Heard = lambda received, total: None,
    ) -> FeedReport:
        """Runs one feed once and records how it went; a fault of the partner is in the report.

        ``believed_by``: who takes what raises an alarm by its size all the same. ``asked``: whether it is to stop
        behind the page that it is at. ``settings``: as they were read when it was planned; else as its file has them.
        """
        settings = settings or self.feed(name)
        source, client = self.source_of(name, settings), self.client_of(name, settings, heard)
        us, exercises = self.settings.node.identity, self.for_exercises
        run = Run(settings, source, us, self.now, progress, exercises, asked, believed_by)
        return run_feed(self.store, run, client)

    def record_run(self, report: FeedReport, started: Micros, settings: FeedSettings) -> None:
        """Records a run that could not even begin, or that broke off by a fault of ours."""
        with self.store.writing() as conn:
            record(conn, report, started, settings)

    def accept(
        self, collection: Collection, account: Account, objects: Sequence[tuple[bytes, Received]], now: Micros
    ) -> list[str | None]:
        """Takes what a partner posted to an inbox, as a feed's objects are taken; says for each why it was not.

        What it posted into an exercise is kept there.
        """
        if collection.kind is CollectionKind.EXERCISE:
            from threatshare.share.exercise_posts import accept

            self.forget_files()
            return accept(self.store, collection, account, objects, self.facts(), now)
        source = self._inbox_of(account.name)
        us = self.settings.node.identity
        raws = [raw for raw, _ in objects]
        rejects = take(self.store, source, raws, us, now, Tally(), lambda: None, self.for_exercises, dict(objects))
        with self.store.writing() as conn:
            watch_own(conn, source, now)
        reasons = {one.place: one.reason for one in rejects if one.reason != UNTOLD}
        return [reasons.get(received.id) for _, received in objects]

    def _inbox_of(self, account: str) -> Source:
        """Gives the source of what an account posts."""
        facts = self.facts()
        sender = facts.agreement_of(account)
        has_feed = (self.directory / FEEDS_DIR / f"{account}.toml").exists()
        name = inbox_source(self.store.conn, account, has_feed, sender)
        known = sources(self.store.conn).get(name)
        if has_feed and known is not None and known.kind == "feed":
            # One partner's feed and inbox: it is the feed's file that says how reliable it is.
            return known
        inbound = sender.inbound if sender else Inbound()
        source = self.store.source(name, "partner", inbound.reliability, tlp_named(inbound.default_tlp))
        # Of a new source, only facts that are read after it know whose it is.
        self._bind_sources(self.facts() if known is None else facts)
        return source

    def _bind_sources(self, facts: Facts) -> bool:
        """Has the feeds and accounts of one partner count as one; tells whether whose they are has changed.

        One that is said to be two partners' joins one of them: never a further voice. What copies an aggregate says
        that aggregate's words, whoever passes them on.
        """
        return self.store.bind_sources(
            {
                name: None if one.lineage is not None else min(facts.partners_of(name), default=None)
                for name, one in sources(self.store.conn).items()
            }
        )

    def agreed(self, account: Account, readers: Sequence[str]) -> ExchangeTerms:
        """Gives the terms of an exchange for one that posts: the ceiling is the lowest agreed with any of its readers.

        An account whose agreement is not in force may post nothing, nor may one of which nothing tells which partner's
        it is. Members with whom there is no agreement file, and that are tied to no partner, bring no terms.
        """
        from threatshare.share.exchange import ExchangeTerms

        self.forget_files()
        facts = self.facts()
        member = facts.agreement_of(account.name)
        if facts.partners_of_account(account.name) and standing(member, facts.today):
            return ExchangeTerms(refusal="the agreement with your organisation is not in force")
        read_by = {partner for name in readers for partner in facts.partners_of_account(name)}
        agreements = [one for partner, one in facts.agreements.items() if partner in read_by]
        hidden = member is not None and wants_disguise(member.outbound)
        return ExchangeTerms(
            min((one.outbound.ceiling for one in agreements), default=None),
            None,
            None if hidden else facts.our_identity,
            frozenset(member.inbound.sources) if member is not None else frozenset(),
        )

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
    certificate: Path | None = None
    """The server's TLS certificate, where the command line names one."""

    def __call__(self) -> TaxiiApp:
        """Opens the node in this process and gives its application."""
        from threatshare.policy.gate import may_exchange, may_exchange_live
        from threatshare.share.app import create_app
        from threatshare.share.connections import Connections
        from threatshare.share.settings import serve_settings

        node = build_node(self.directory)
        serve = node.settings.serve
        settings = serve_settings(node.settings.node.name, serve, self.directory, self.certificate)
        settings = replace(settings, own_contact=node.settings.contact)
        connections = Connections(node.open_reader, node.open_writer)
        exchangeable = may_exchange if node.for_exercises else may_exchange_live
        accept, take_posted = node.accept, node.take_posted
        return create_app(connections, settings, accept, exchangeable, node.clock, take_posted, node.agreed)


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
