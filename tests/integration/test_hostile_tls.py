"""Certificates that nobody should trust, for every kind of feed: nothing is asked, and the node's other feeds go on."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
import trustme

from clocks import FixedClock
from hostile_node import KINDS, PATHS, WHOLE, Puller, good
from hostile_server import HostileServer
from nodes import make_node
from threatshare.node import opened

HOST = "feed.example"
_NUMBERS = count()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that the feeds' settings name."""
    return trustme.CA()


@pytest.fixture(scope="module")
def puller(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Puller]:
    """A node at work that has the authority's certificate."""
    folder = tmp_path_factory.mktemp("hostile") / "node"
    make_node(folder)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    with opened(folder, FixedClock()) as node:
        yield Puller(node)


def _here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


CERTIFICATES: dict[str, tuple[Callable[[trustme.CA], trustme.LeafCert], str]] = {
    "expired": (lambda ours: ours.issue_cert(HOST, not_after=datetime(2020, 1, 1, tzinfo=UTC)), "expired"),
    "of another name": (lambda ours: ours.issue_cert("other.example"), "Hostname mismatch"),
    "of the address": (lambda ours: ours.issue_cert("127.0.0.1"), "Hostname mismatch"),
    "of another authority": (lambda ours: trustme.CA().issue_cert(HOST), "not trusted"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificate(puller: Puller, authority: trustme.CA, tmp_path: Path, kind: str, name: str) -> None:
    """A certificate that is not right ends the run before anything is asked; with a right one the feed is pulled."""
    issue, reason = CERTIFICATES[name]
    feed = f"{kind}-{next(_NUMBERS)}"
    with HostileServer(lambda talk: good(kind, talk), _side(issue(authority))) as server:
        puller.add(feed, kind, server, url=server.url(PATHS[kind], HOST), ca_file="ca.pem")
        report = puller.pull(feed, _here)
        assert report.status == "failed"
        assert reason in str(report.error)
        assert server.asked == []
    with HostileServer(lambda talk: good(kind, talk), _side(authority.issue_cert(HOST))) as server:
        puller.add(feed, kind, server, url=server.url(PATHS[kind], HOST), ca_file="ca.pem")
        assert puller.pull(feed, _here).status == "ok"
    assert puller.claims(feed) == 2 * WHOLE


def _side(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context
