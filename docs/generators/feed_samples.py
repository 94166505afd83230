"""Pulls real feeds into fresh nodes and writes what came of them: the tables of docs/reference/feed-samples.md.

    python docs/generators/feed_samples.py FOLDER     prints the tables, each under its name

The files are not part of the project; a test recomputes the tables where they are at hand. The static TAXII tree is
served on loopback by this file, and passes over the pages that are missing from it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from threatshare.feed_settings import FeedSettings, ListSettings
from threatshare.model import FeedReport
from threatshare.node import Node, opened
from threatshare.ports import ListClient
from threatshare.store.keys import CODE_KIND
from threatshare.store.lookups import claims_about, known_by_number
from threatshare.store.runs import rejects
from threatshare.triage.score import score

NOW = datetime(2026, 8, 23, tzinfo=UTC)
"""When it is pulled: the day after the newest files."""
TAXII = "application/taxii+json;version=2.1"
_REASONS = 4
_COUNTS = "SELECT (SELECT count(*) FROM observable), (SELECT count(*) FROM claim), (SELECT count(*) FROM link)"
_NAMED = re.compile(r"^[a-z0-9-]+--[0-9a-f-]{36}: ")
_QUOTED = re.compile(r"""'[^']*'?|"[^"]*"?""")
_SIXTEENTH = re.compile(r"^\d+\.\d+\.\d+\.(\d+)\b").match
_LISTS = {"blocklists": ("plain", "*.txt"), "ipsum": ("ipsum", "ipsum.txt"), "zeek-intel": ("zeek-intel", "*.intel")}


def feeds_of(folder: Path) -> dict[str, FeedSettings]:
    """Gives the feeds that a folder of the samples is pulled as, by name; the static tree is none of them."""
    if folder.name in _LISTS:
        preset, files = _LISTS[folder.name]
        named = [one for one in sorted(folder.glob(files)) if one.name != "SOURCE.txt"]
        return {one.stem: FeedSettings("list", path=str(one), list=ListSettings(preset=preset)) for one in named}
    if folder.name == "tweetfeed-csv":
        return {"csv": FeedSettings("list", path=str(folder), list=ListSettings(preset="tweetfeed"))}
    if "misp" in folder.name:
        return {"misp": FeedSettings("misp", path=str(folder))}
    return {"stix": FeedSettings("stix", path=str(folder))}


FOLDERS = (
    "stix-mvt",
    "stix-unit42",
    "stix21-idioms",
    "misp-events",
    "tweetfeed-misp",
    "tweetfeed-taxii",
    "tweetfeed-csv",
    "blocklists",
    "ipsum",
    "zeek-intel",
)


@cache
def _node_as_made() -> TemporaryDirectory[str]:
    """Makes a node once for all that begin with a fresh one; it goes when nobody can ask for it any more."""
    made = TemporaryDirectory()
    who = ("--name", "Example", "--sector", "energy", "--country", "US", "--area", "US-DC", "--no-own-assets")
    command = [sys.executable, "-m", "threatshare", "init", str(Path(made.name, "node")), *who, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  our own command
    return made


@contextmanager
def fresh_node() -> Iterator[Node]:
    """A node that has declared nothing as its own, and whose clock stands at NOW."""
    with TemporaryDirectory() as made:
        directory = Path(made, "node")
        copytree(Path(_node_as_made().name, "node"), directory)
        with opened(directory, lambda: NOW) as node:
            yield node


@contextmanager
def static_taxii(folder: Path) -> Iterator[FeedSettings]:
    """Serves the pages of a static TAXII tree that are there, as their index orders them; gives the feed of it."""
    tree = folder / "taxii"
    index = json.loads((tree / "index.json").read_bytes())
    pages = [(tree / "pages" / f"{one['key']}.json", one["last"]) for one in index["pages"]]
    there = [(file.read_bytes(), last) for file, last in pages if file.is_file()]
    collection = {"id": index["collection"], "title": "TweetFeed", "can_read": True, "can_write": False}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {"Content-Type": TAXII}
            if parts.path == "/taxii2/":
                body = json.dumps({"title": "Static", "default": "/api/", "api_roots": ["/api/"]}).encode()
            elif parts.path == "/api/collections/":
                body = json.dumps({"collections": [collection]}).encode()
            elif parts.path.endswith("/objects/"):
                number = int(parse_qs(parts.query).get("next", ["0"])[0])
                objects, headers["X-TAXII-Date-Added-Last"] = there[number]
                more = {"more": True, "next": str(number + 1)} if number + 1 < len(there) else {"more": False}
                body = json.dumps(more)[:-1].encode() + b',"objects":' + objects + b"}"
            else:
                body = json.dumps({"title": "Root", "versions": [TAXII], "max_content_length": 1}).encode()
            self.send_response(200)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/taxii2/"
        yield FeedSettings("taxii", url=url, allow_private_address=True)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _feeds(folder: Path) -> Iterator[dict[str, FeedSettings]]:
    if folder.name == "tweetfeed-taxii":
        with static_taxii(folder) as settings:
            yield {"taxii": settings}
    else:
        yield feeds_of(folder)


@dataclass
class Held:
    """What a folder held, and what a node made of it."""

    files: int
    kinds: Counter[str] = field(default_factory=Counter)
    """Objects by STIX type as they came; of lists their values by kind, each once."""
    reports: list[FeedReport] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    observables: int = 0
    claims: int = 0
    links: int = 0


def pulled(samples: Path, name: str) -> Held:
    """Pulls a folder into a fresh node."""
    folder = samples / name
    with fresh_node() as node, _feeds(folder) as feeds:
        found = Held(len(_files(folder)))
        node.feeds.update(feeds)
        for feed, settings in feeds.items():
            found.kinds += _kinds(node, feed, settings)
            found.reports.append(node.pull_feed(feed, lambda _: True))
            for _, _, reject, times in rejects(node.store.conn, feed, 100_000):
                found.reasons[_reason(reject.reason)] += times
        found.kinds = found.kinds or _values(node)
        (counts,) = node.store.conn.execute(_COUNTS)
        found.observables, found.claims, found.links = counts
    return found


def _files(folder: Path) -> list[Path]:
    if folder.name == "tweetfeed-taxii":
        return sorted((folder / "taxii" / "pages").glob("*.json"))
    return [one for one in sorted(folder.iterdir()) if one.is_file() and one.name != "SOURCE.txt"]


def _kinds(node: Node, name: str, settings: FeedSettings) -> Counter[str]:
    client = node.client_of(name, settings)
    if isinstance(client, ListClient):
        return Counter()
    objects = (raw for page in client.pages(None, node.now()) for raw in page.objects)
    return Counter(str(json.loads(raw).get("type")) for raw in objects)


def _values(node: Node) -> Counter[str]:
    found = node.store.conn.execute("SELECT kind, count(*) FROM observable GROUP BY kind")
    return Counter({CODE_KIND[kind].value: count for kind, count in found})


def _reason(text: str) -> str:
    short = _QUOTED.sub("...", _NAMED.sub("", text)).removeprefix("...: ")
    return short if short.startswith("alarm") else short.partition(":")[0]


def _heading(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"


def row(samples: Path, name: str) -> str:
    """Gives a folder's row of the first table, in Markdown."""
    one = pulled(samples, name)
    told = [sum(getattr(report, what) for report in one.reports) for what in ("objects", "new", "changed", "unchanged")]
    rejected = sum(report.rejected for report in one.reports)
    kinds = ", ".join(f"{kind} {count}" for kind, count in _first(one.kinds, 30))
    why = "; ".join(f"{count}: {reason}" for reason, count in _first(one.reasons, _REASONS)).replace("|", "/")
    cells = (name, one.files, kinds, *told, rejected, one.observables, one.claims, one.links, why)
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _first(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most]


HEAD = _heading(
    "folder", "files", "held", "objects", "new", "changed", "unchanged", "rejected",
    "observables", "claims", "links", "why rejected",
)  # fmt: skip


def shares(node: Node) -> dict[int, tuple[int, Counter[int]]]:
    """Gives, by the number of feeds that name it, how many observables there are, and their scores."""
    found: dict[int, tuple[int, Counter[int]]] = {}
    numbers = [number for (number,) in node.store.conn.execute("SELECT number FROM observable")]
    claims = claims_about(node.store.conn, numbers)
    for one in known_by_number(node.store.conn, numbers):
        held = claims.get(one.number, [])
        feeds = len({claim.claim.source for claim in held})
        count, scores = found.get(feeds, (0, Counter()))
        scores[score(one.observable.kind, [claim.claim for claim in held], one.evidence, node.now()).value] += 1
        found[feeds] = (count + 1, scores)
    return found


def _compared(feeds: Mapping[str, FeedSettings], lineage: str) -> str:
    """Gives a table of observables by how many feeds name them, with their scores without and with a lineage."""
    apart, together = (_pull_all(feeds, said) for said in (None, lineage))
    lines = [_heading("feeds that name it", "observables", "score, each independent", "score, one lineage")]
    for number in sorted(apart):
        count, scores = apart[number]
        lines.append(f"| {number} | {count} | {_range(scores)} | {_range(together[number][1])} |\n")
    return "".join(lines)


def _pull_all(feeds: Mapping[str, FeedSettings], lineage: str | None) -> dict[int, tuple[int, Counter[int]]]:
    from msgspec.structs import replace

    with fresh_node() as node:
        node.feeds.update({name: replace(one, lineage=lineage) for name, one in feeds.items()})
        for name in feeds:
            report = node.pull_feed(name, lambda _: True)
            assert report.status == "ok", report
        return shares(node)


def _range(scores: Mapping[int, int]) -> str:
    return str(min(scores)) if len(scores) == 1 else f"up to {max(scores)}"


def renderings(samples: Path) -> str:
    """Gives the table of the three renderings of one feed, pulled as three feeds."""
    with static_taxii(samples / "tweetfeed-taxii") as taxii:
        feeds = feeds_of(samples / "tweetfeed-misp") | feeds_of(samples / "tweetfeed-csv") | {"taxii": taxii}
        return _compared(feeds, "tweetfeed")


def copies(samples: Path) -> str:
    """Gives the table of the blocklists, cut to every sixteenth address: the same ones of each list."""
    with TemporaryDirectory() as made:
        cut: dict[str, FeedSettings] = {}
        for name in ("blocklists", "ipsum"):
            for feed, settings in feeds_of(samples / name).items():
                file = Path(made, f"{feed}.txt")
                lines = Path(settings.path or "").read_text("utf-8", "replace").splitlines(keepends=True)
                file.write_text("".join(line for line in lines if _is_sixteenth(line)))
                cut[feed] = FeedSettings("list", path=str(file), list=settings.list)
        return _compared(cut, "blocklists")


def _is_sixteenth(line: str) -> bool:
    found = _SIXTEENTH(line)
    return found is not None and int(found[1]) % 16 == 0


TABLES = {
    "folders": lambda samples: HEAD + "".join(row(samples, name) for name in FOLDERS),
    "renderings": renderings,
    "copies": copies,
}


if __name__ == "__main__":
    for title, made in TABLES.items():
        print(f"{title}\n\n{made(Path(sys.argv[1]))}")  # noqa: T201  its job
