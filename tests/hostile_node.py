"""A node that pulls from hostile servers: one feed of each kind through the whole path, and what it may cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from hostile_server import COLLECTION, TAXII, HostileServer, Talk, envelope, indicators
from threatshare.feed_settings import FeedSettings
from threatshare.feeds.clients import client_for
from threatshare.feeds.egress import Resolver
from threatshare.model import FeedReport
from threatshare.node import Node
from threatshare.ports import ListClient
from threatshare.pull import pull, pull_list
from threatshare.store.runs import feed_state, rejects

MEGABYTE = 1024 * 1024
KINDS = ("taxii", "stix", "misp", "list")
PATHS = {"taxii": COLLECTION, "stix": "/bundle.json", "misp": "/misp/", "list": "/list.txt"}
TYPES = {"taxii": TAXII, "stix": "application/json", "misp": "application/json", "list": "text/plain"}
WHOLE = 10
"""Objects of each whole page that comes before a fault."""
Fault = Callable[[Talk], None]


def event_uuid(number: int) -> str:
    """Gives the UUID of a MISP event by number."""
    return f"10000000-0000-4000-8000-{number:012d}"


def event(number: int, size: int = WHOLE) -> bytes:
    """Builds a MISP event of some addresses."""
    attributes = [
        {
            "uuid": f"20000000-0000-4000-8000-{number:06d}{at:06d}",
            "type": "ip-dst",
            "value": f"45.{number}.0.{at}",
            "to_ids": True,
            "timestamp": "1760000000",
        }
        for at in range(size)
    ]
    told = {"uuid": event_uuid(number), "info": "a campaign", "timestamp": "1760000000", "Attribute": attributes}
    return json.dumps({"Event": told}).encode()


def rows(first: int, size: int = WHOLE) -> bytes:
    """Builds a plain list of addresses."""
    return b"".join(b"45.9.%d.%d\n" % (number >> 8, number & 255) for number in range(first, first + size))


def good(kind: str, talk: Talk) -> None:
    """Answers as a decent server does: one page and a second one, or what changes with each request."""
    if kind == "taxii":
        last = "next" in talk.asked.query
        body = envelope(WHOLE if last else 0, WHOLE, **({} if last else {"more": True, "next": "second"}))
    elif kind == "stix":
        body = json.dumps({"type": "bundle", "objects": indicators(0, 2 * WHOLE)}).encode()
    elif kind == "misp":
        name = talk.asked.path.rpartition("/")[2]
        if name == "manifest.json":
            body = json.dumps({event_uuid(number): {"timestamp": str(number)} for number in (1, 2)}).encode()
        else:
            body = event(int(name[-6]))
    else:
        body = rows(0, 2 * WHOLE)
    talk.answer(body, content_type=TYPES[kind])


def is_second(kind: str, talk: Talk) -> bool:
    """Tells whether a request is for what comes after the first whole page of a run; of kinds of one answer, any is."""
    if kind == "taxii":
        return "next" in talk.asked.query
    if kind == "misp":
        return talk.asked.path.endswith(f"{event_uuid(2)}.json")
    return True


@dataclass
class Cost:
    """What a run cost."""

    seconds: float = 0.0
    megabytes: float = 0.0
    """By how much the process grew at most."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Measures time, and how far the memory of this process rises above what it is now."""
    cost, began = Cost(), time.monotonic()
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    yield cost
    cost.seconds = time.monotonic() - began
    cost.megabytes = (_memory("VmHWM") - before) / 1024


def _memory(name: str) -> int:
    """Gives a figure of /proc/self/status in kibibytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


@dataclass
class Puller:
    """A node and its feeds; each feed has a name of its own, so that one node serves many tests."""

    node: Node
    costs: dict[str, Cost] = field(default_factory=dict)

    def add(self, name: str, kind: str, server: HostileServer, at: str | None = None, **changed: Any) -> None:
        """Adds a feed at a server, with short limits."""
        values: dict[str, Any] = {
            "kind": kind,
            "url": server.url(at or PATHS[kind]),
            "allow_private_address": True,
            "page_size": WHOLE,
            "max_pages": 20,
            "page_deadline_seconds": 5,
            "run_deadline_seconds": 20,
            "max_page_bytes": 2 * MEGABYTE,
            "default_tlp": "green",
        }
        self.node.feeds[name] = FeedSettings(**(values | changed))

    def change(self, name: str, **changed: Any) -> None:
        """Changes a feed's settings, seconds also to parts of one."""
        self.node.feeds[name] = msgspec.structs.replace(self.node.feeds[name], **changed)

    def pull(self, name: str, resolve: Resolver | None = None) -> FeedReport:
        """Pulls a feed as the command does; ``resolve`` in place of the system's resolver."""
        with measured() as cost:
            report = self.node.pull_feed(name, lambda _: True) if resolve is None else self._resolved(name, resolve)
        self.costs[name] = cost
        return report

    def _resolved(self, name: str, resolve: Resolver) -> FeedReport:
        node, settings = self.node, self.node.feeds[name]
        source = node.source_of(name, settings)
        client = client_for(name, settings, node.directory, clock=node.clock, resolve=resolve)
        if isinstance(client, ListClient):
            return pull_list(node.store, source, client, node.now, lambda _: True)
        return pull(node.store, source, client, node.settings.node.identity, node.now, lambda _: True)

    def cursor(self, name: str) -> str | None:
        """Gives where a feed's next run goes on."""
        return feed_state(self.node.store.conn, name).cursor

    def claims(self, name: str) -> int:
        """Counts the claims that stand in a feed's name."""
        found = self.node.store.conn.execute(
            "SELECT count(*) FROM claim JOIN source ON source.number = claim.source WHERE name = ? AND flags & 1 = 0",
            (name,),
        ).fetchone()
        return int(found[0])

    def reasons(self, name: str) -> list[str]:
        """Gives why objects of a feed were kept aside, newest first."""
        return [reject.reason for _, _, reject, _ in rejects(self.node.store.conn, name, 100_000)]
