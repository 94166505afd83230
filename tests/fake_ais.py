"""A TAXII 2.1 server on loopback that behaves as AIS, the US exchange of automated indicators, is known to.

Known from public client code and issue reports: the discovery address ends in ``/taxii2/``; there are several API
roots, ``/public/`` and ``/ingest/`` among them; a client certificate is demanded; collection ids are per
participant and are enumerated; ``next`` is an integer.

Unverified, and only plausible here: that ``/ingest/`` is the root to write to (its name says so), that others
answer 403 to those who have no part in them, how long a status stays pending, what a resubmission answers
(success here, as the standard has it), the limits, and every message. Nothing here was seen on the real server.

A test decides what happens: ``script`` holds answers for the next POSTs, ``refuse`` judges objects, ``slow``
says how often a status is asked for before it is complete. Run as a script it is a process of its own, which
writes down outside everybody's reach what it has taken.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import trustme

from loopback_server import LoopbackServer, Quiet

TAXII = "application/taxii+json;version=2.1"
INGEST = "8f9c6a51-1c35-4d53-9a3c-7c1a0f6f2a11"
PUBLIC = "2d8a4e1f-9b67-4c0a-8f5e-3b1d6c7e9a22"
HOST = "ais.example"

Json = dict[str, Any]


@dataclass(frozen=True)
class Scripted:
    """One answer to a POST, whatever was sent."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = TAXII
    keep: bool = False
    """Whether the objects are taken nevertheless."""
    hang_up: bool = False
    """Whether the connection ends without an answer."""


def error(status: int, description: str = "no", **headers: str) -> Scripted:
    """Scripts an error resource (TAXII 2.1 §3.6); underscores in names of headers stand for hyphens."""
    body = json.dumps({"title": "Refused", "description": description, "http_status": str(status)}).encode()
    return Scripted(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Job:
    """One POST that was taken."""

    id: str
    objects: list[Json]
    failures: dict[tuple[str, str], str]
    polls_left: int


@dataclass
class FakeAis:
    """Serves on a free port of 127.0.0.1 from ``with`` to its end; without ``tls`` in clear text."""

    tls: ssl.SSLContext | None = None
    max_content_length: Any = 1_000_000
    slow: int = 0
    refuse: Callable[[Json], str | None] = lambda _: None
    wire: Callable[[Json], Json] = lambda status: status
    """Changes a status resource before it is sent."""
    created: int = 202
    """Status of an accepted POST."""
    script: deque[Scripted] = field(default_factory=deque)
    forbidden: tuple[str, ...] = ("/federal/",)
    media_types: list[str] | None = None
    log: Path | None = None
    """Where each POST that is taken is written down before it is answered: its objects, a line a POST."""

    def __post_init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        """(method, path) of every request."""
        self.posts: list[bytes] = []
        """Bodies in the order in which they arrived, refused ones too."""
        self.headers: list[dict[str, str]] = []
        """Of every POST, keys in lower case."""
        self.certificates: list[Any] = []
        """What clients showed of themselves, a POST each."""
        self.taken: list[Json] = []
        """Every object of every POST that was taken, in order; twice where it came twice."""
        self.jobs: dict[str, Job] = {}
        self.published: list[Json] = []
        """What ``/public/`` offers."""

    def __enter__(self) -> FakeAis:
        outer = self

        class Answering(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(("GET", self.path))
                status, body = outer._get(self.path)
                outer._send(self, Scripted(status, json.dumps(body).encode()))

            def do_POST(self) -> None:
                outer.asked.append(("POST", self.path))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append(body)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                sock = self.connection
                outer.certificates.append(sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None)
                outer._send(self, outer._post(self.path, body))

        self._server = LoopbackServer()
        self.port = self._server.begin(Answering, self.tls)
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.end()

    @property
    def base(self) -> str:
        """The address before any path."""
        return f"https://{HOST}:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The discovery address."""
        return f"{self.base}/taxii2/"

    @property
    def ids(self) -> list[str]:
        """Ids of the objects that were taken, in order."""
        return [one["id"] for one in self.taken]

    def _send(self, handler: BaseHTTPRequestHandler, answer: Scripted) -> None:
        if answer.hang_up:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        if answer.content_type is not None:
            handler.send_header("Content-Type", answer.content_type)
        handler.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _get(self, target: str) -> tuple[int, Json]:
        parts = urlsplit(target)
        path, query = parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}
        root, _, rest = path[1:].partition("/")
        if path == "/taxii2/":
            roots = [f"{self.base}/{name}/" for name in ("public", "default", "ingest", "ciscp", "federal")]
            return 200, {"title": "AIS 2.0", "default": roots[0], "api_roots": roots}
        if root not in ("public", "default", "ingest", "ciscp", "federal"):
            return 404, {"title": "Not found"}
        if f"/{root}/" in self.forbidden:
            return 403, {"title": "Forbidden", "description": "no part of this root is yours"}
        if rest == "":
            return 200, {"title": root, "versions": [TAXII], "max_content_length": self.max_content_length}
        if rest == "collections/":
            return 200, {"collections": self._collections(root)}
        if rest == f"collections/{PUBLIC}/objects/" and root == "public":
            return 200, self._page(int(query.get("next", 0)), int(query.get("limit", 2)))
        kind, _, name = rest.strip("/").partition("/")
        if kind == "status" and name in self.jobs:
            job = self.jobs[name]
            job.polls_left = max(job.polls_left - 1, 0)
            return 200, self.wire(_status(job))
        return 404, {"title": "Not found"}

    def _collections(self, root: str) -> list[Json]:
        if root == "public":
            return [{"id": PUBLIC, "title": "AIS public", "can_read": True, "can_write": False}]
        if root == "ingest":
            made: Json = {"id": INGEST, "title": "AIS ingest", "can_read": False, "can_write": True}
            return [made | ({} if self.media_types is None else {"media_types": self.media_types})]
        return []

    def _page(self, start: int, limit: int) -> Json:
        page = self.published[start : start + limit]
        more = start + limit < len(self.published)
        return {"more": more, "objects": page} | ({"next": start + limit} if more else {})

    def _post(self, path: str, body: bytes) -> Scripted:
        if path != f"/ingest/collections/{INGEST}/objects/":
            return error(404, "no such collection")
        scripted = self.script.popleft() if self.script else None
        if scripted is not None and not scripted.keep:
            return scripted
        if len(body) > int(self.max_content_length):
            return error(413, "too large")
        objects = json.loads(body)["objects"]
        reasons = {(one["id"], one.get("modified", "")): self.refuse(one) for one in objects}
        failures = {key: reason for key, reason in reasons.items() if reason is not None}
        job = Job(str(uuid4()), objects, failures, self.slow)
        self.jobs[job.id] = job
        self.taken += objects
        if self.log is not None:
            with self.log.open("ab", buffering=0) as file:
                file.write(json.dumps(objects).encode() + b"\n")
        return scripted or Scripted(self.created, json.dumps(self.wire(_status(job))).encode())


def _status(job: Job) -> Json:
    """Writes a status resource (TAXII 2.1 §4.3.1)."""
    named = [(one["id"], one.get("modified", "")) for one in job.objects]
    shown: Json = {
        "id": job.id,
        "status": "pending" if job.polls_left else "complete",
        "request_timestamp": "2026-03-01T12:00:00Z",
        "total_count": len(named),
    }
    if job.polls_left:
        pendings = [{"id": key[0], "version": key[1], "message": "in the queue"} for key in named]
        return shown | {"success_count": 0, "failure_count": 0, "pending_count": len(named), "pendings": pendings}
    failures = [{"id": key[0], "version": key[1], "message": text} for key, text in job.failures.items()]
    good = [{"id": key[0], "version": key[1]} for key in named if key not in job.failures]
    shown |= {"success_count": len(good), "failure_count": len(failures), "pending_count": 0}
    return shown | {"successes": good, "failures": failures}


@dataclass(frozen=True)
class Pki:
    """An authority, the server's certificate from it, and ours."""

    server: ssl.SSLContext
    ca_file: Path
    client_cert: Path


def make_pki(folder: Path) -> Pki:
    """Makes certificates; the server demands one of the same authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    ca_file, client_cert = folder / "ca.pem", folder / "client.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    ours = authority.issue_cert("our-node.example", common_name="our node")
    ours.private_key_and_cert_chain_pem.write_to_path(str(client_cert))
    return Pki(context, ca_file, client_cert)


def _main(log: str) -> None:
    with FakeAis(log=Path(log)) as server:
        print(server.url, flush=True)
        # Until whoever started it has gone, in whatever way.
        sys.stdin.read()


if __name__ == "__main__":
    _main(*sys.argv[1:])
