"""The store as the flows use it: one writing connection, one transaction at a time."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock, Thread

from msgspec import structs

from threatshare.errors import ConfigurationError
from threatshare.model import Micros, Tlp
from threatshare.stix.claims import NewClaim, claim_of
from threatshare.stix.received import Received, reread
from threatshare.store import knowledge, links, listings, objects, restatements, sources
from threatshare.store.connection import Connection, copy_log, open_writer, transaction
from threatshare.store.keys import key_maker, object_key, store_secret

_PAGES_IN_LOG = 1000
"""From so many on, each commit brings the log into the file: SQLite's own number."""


class Store:
    """The embedded store, open for writing. Its methods that write are called inside ``writing()``."""

    def __init__(self, file: Path, cap_of: knowledge.CapOf) -> None:
        self.conn: Connection = open_writer(file)
        self._file = file
        self._copying: Thread | None = None
        with transaction(self.conn):
            self.key_of = key_maker(store_secret(self.conn))
        self._origins = sources.Origins(self.conn)
        self._cap_of = cap_of
        self._lock = RLock()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Holds the store for one transaction, against this process's threads and other processes."""
        with self._lock:
            try:
                with transaction(self.conn):
                    yield self.conn
            except BaseException:
                self._origins.forget()
                raise

    @contextmanager
    def filling(self) -> Iterator[Connection]:
        """Holds the store as ``writing`` does, for a large batch: a thread of its own brings it into the file.

        That is half of what a commit takes otherwise, and needs nothing of what the caller does meanwhile. The next
        batch waits for it, so the log never holds more than one.
        """
        with self._lock:
            self._wait_for_copying()
            self.conn.execute("PRAGMA wal_autocheckpoint = 0")
            try:
                with self.writing() as conn:
                    yield conn
            finally:
                self.conn.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_IN_LOG}")
            self._copying = Thread(target=copy_log, args=(self._file,), name="copying the store's log")
            self._copying.start()

    def _wait_for_copying(self) -> None:
        if self._copying is not None:
            self._copying.join()
            self._copying = None

    @contextmanager
    def trying(self) -> Iterator[Connection]:
        """Holds the store for a transaction whose writes are all undone: for showing what would happen."""
        with self._lock:
            self.conn.execute("BEGIN IMMEDIATE")
            try:
                yield self.conn
            finally:
                self._origins.forget()
                # Where the disk is full, SQLite has rolled back by itself.
                if self.conn.in_transaction:
                    self.conn.execute("ROLLBACK")

    def source(
        self, name: str, kind: str, reliability: str, default_tlp: Tlp, lineage: str | None = None
    ) -> sources.Source:
        """Gives the source of that name, registered where it is new or has changed.

        Raises ConfigurationError where somebody else's is to be called as our own is: it could then change our objects.
        """
        if name == sources.OWN and kind != "own":
            raise ConfigurationError(f"no {kind} can be called {name!r}: that is the source of our own indicators")
        # Under the lock: another thread's source might never be committed.
        with self._lock:
            known = sources.sources(self.conn).get(name)
            if known and (known.reliability, known.default_tlp, known.lineage) == (reliability, default_tlp, lineage):
                return known
            with self.writing():
                made = sources.register_source(self.conn, name, kind, reliability, default_tlp, lineage)
                if known is not None:
                    restatements.line_up(self.conn, made)
                return made

    def bind_sources(self, partners: Mapping[str, str | None]) -> bool:
        """Notes whose sources are, by name, and has what they said scored anew where that has changed; tells whether.

        The sources of one partner are one voice: together they count for no more than one of them.
        """
        with self._lock:
            known = sources.sources(self.conn)
            if all(known[name].partner == partner for name, partner in partners.items() if name in known):
                return False
            with self.writing():
                for one in sources.bind_sources(self.conn, partners):
                    restatements.line_up(self.conn, one)
            return True

    def sort_out(self, source: sources.Source, read: Sequence[tuple[bytes, Received]], now: Micros) -> objects.Sorted:
        """Tells new and changed objects from those already held."""
        return objects.sort_out(self.conn, self.key_of, source.number, read, now)

    def merge(
        self, source: sources.Source, batch: Sequence[tuple[objects.Fresh, NewClaim | None]], now: Micros
    ) -> knowledge.Merged:
        """Keeps the originals and what they tie together, brings their claims onto observables and scores these."""
        kept = [fresh for fresh, _ in batch]
        objects.keep(self.conn, kept, now)
        links.keep_links(self.conn, self.key_of, source.number, kept)
        speakers = {one.number: one for one in sources.sources(self.conn).values()}
        return knowledge.merge(self.conn, self.key_of, source, self._origins, speakers, self._cap_of, batch, now)

    def disown(self, source: sources.Source, bodies: Sequence[bytes], now: Micros) -> None:
        """Takes back the claims of objects that are held and count for nothing any more, given by their bodies."""
        batch: list[tuple[objects.Fresh, NewClaim | None]] = []
        for body in bodies:
            read = reread(body)
            key = object_key(self.key_of, source.number, read.id)
            batch.append((objects.Fresh(body, read, key, read.version, None, body), None))
        speakers = {one.number: one for one in sources.sources(self.conn).values()}
        knowledge.merge(self.conn, self.key_of, source, self._origins, speakers, self._cap_of, batch, now)

    def end(self, source: sources.Source, bodies: Iterable[bytes], now: Micros) -> None:
        """Lets the claims of objects weigh nothing that their maker had revoked before, given by their bodies."""
        batch: list[tuple[objects.Fresh, NewClaim | None]] = []
        for body in bodies:
            read = reread(body)
            claim = claim_of(read, read.version, source.default_tlp, now, held=True)
            if claim is not None and not claim.revoked:
                key = object_key(self.key_of, source.number, read.id)
                claim = structs.replace(claim, revoked=True)
                batch.append((objects.Fresh(body, read, key, read.version, None), claim))
        speakers = {one.number: one for one in sources.sources(self.conn).values()}
        knowledge.merge(self.conn, self.key_of, source, self._origins, speakers, self._cap_of, batch, now)

    def listing(self, source: sources.Source) -> listings.ListMerge:
        """Begins to read a list; under the lock, which its methods need too."""
        speakers = {one.number: one for one in sources.sources(self.conn).values()}
        return listings.ListMerge(self.conn, self.key_of, source, self._origins, speakers, self._cap_of)

    def restate(self, limit: int) -> list[int]:
        """Restates what sources say that are configured otherwise now; gives the next observables, for scoring anew."""
        return restatements.restate_next(self.conn, self._origins, limit)

    def cap_anew(self) -> list[int]:
        """Tells anew what is ours or known benign; gives the numbers of observables for which that has changed."""
        return knowledge.cap_anew(self.conn, self._cap_of)

    def holders(self, stix_id: str) -> list[str]:
        """Gives the names of the sources that an object of some id came from, in order."""
        keys = {object_key(self.key_of, one.number, stix_id): one.name for one in sources.sources(self.conn).values()}
        return sorted(keys[key] for key in objects.held_keys(self.conn, keys))

    def checkpoint(self) -> None:
        """Brings the write-ahead log back into the file and cuts it short, where no reader is in the way."""
        with self._lock:
            self._wait_for_copying()
            self.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closes the connection."""
        self._wait_for_copying()
        self.conn.close()


@contextmanager
def without_collector() -> Iterator[None]:
    """Keeps the garbage collector from walking a batch's rows again and again: a third of the time otherwise.

    They hold no cycles, so nothing is left behind.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
