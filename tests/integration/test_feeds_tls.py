"""Pulling over TLS: whom we trust, whom we show ourselves to."""

from __future__ import annotations

import socket
import ssl
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from clocks import FixedClock
from hostile_server import COLLECTION, HostileServer, Talk, envelope, opener
from threatshare.errors import PartnerError
from threatshare.feeds.access import Access, tls_context
from threatshare.feeds.egress import GuardedAdapter, Limits
from threatshare.feeds.session import PartnerSession
from threatshare.feeds.taxii import TaxiiFeed

HOST = "taxii.partner.example"
CANARY = "Canary-7f3a"


def _here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def _pages(talk: Talk) -> None:
    talk.answer(envelope(talk.number, 1, more=talk.number < 3, next=f"{talk.number}"))


@pytest.fixture
def authority() -> trustme.CA:
    """An authority that the partner's certificate comes from."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Its certificate as a file."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def _server_side(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context


def _pull(server: HostileServer, **choices: Any) -> int:
    session = opener(server, host=HOST, resolve=_here, **choices)
    feed = TaxiiFeed("isac", server.url(COLLECTION, HOST), None, session, page_size=1, max_pages=9, clock=FixedClock())
    return sum(len(page.objects) for page in feed.pages(None, 0))


def test_trusted(authority: trustme.CA, ca_file: Path) -> None:
    """A certificate of the configured authority for the configured name is trusted, and the name is sent (SNI)."""
    names: list[str | None] = []
    context = _server_side(authority.issue_cert(HOST))
    context.sni_callback = lambda sock, name, _: names.append(name)
    with HostileServer(_pages, context) as server:
        assert _pull(server, ca_file=ca_file) == 3
    assert names == [HOST], "one connection, kept alive over the pages"


@pytest.mark.parametrize(
    ("issue", "message"),
    [
        (lambda ours: ours.issue_cert("other.example"), "not trusted: Hostname mismatch"),
        (lambda ours: ours.issue_cert("127.0.0.1"), "not trusted: Hostname mismatch"),
        (lambda ours: trustme.CA().issue_cert(HOST), "not trusted: "),
    ],
)
def test_not_trusted(
    authority: trustme.CA, ca_file: Path, issue: Callable[[trustme.CA], trustme.LeafCert], message: str
) -> None:
    """A certificate for another name, even for the address itself, or of another authority is refused."""
    with HostileServer(_pages, _server_side(issue(authority))) as server:
        with pytest.raises(PartnerError, match=message):
            _pull(server, ca_file=ca_file)
        assert server.asked == []


def test_query_is_in_no_message(authority: trustme.CA) -> None:
    """The key in an address's query is in no message or traceback, though the library below quotes it."""
    with HostileServer(_pages, _server_side(authority.issue_cert(HOST))) as server:
        session = opener(server, host=HOST, resolve=_here)()
        with pytest.raises(PartnerError, match="not trusted") as caught:
            session.get(server.url(f"/?key={CANARY}", HOST), place="feed", media_types=lambda text: True)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_public_authorities_do_not_know_it(authority: trustme.CA) -> None:
    """Without a configured authority a certificate that no public one signed is refused."""
    server_side = _server_side(authority.issue_cert(HOST))
    with HostileServer(_pages, server_side) as server, pytest.raises(PartnerError, match="not trusted"):
        _pull(server)


def test_configured_authority_is_the_only_one(authority: trustme.CA, ca_file: Path) -> None:
    """With a configured authority the public ones count no more, also after a connection has been made."""
    assert len(tls_context(Access()).get_ca_certs()) > 50
    with HostileServer(_pages, _server_side(authority.issue_cert(HOST))) as server:
        session = opener(server, host=HOST, resolve=_here, ca_file=ca_file)()
        session.get(server.url("/", HOST), place="feed", media_types=lambda text: True)
    adapter = session.http.get_adapter("https://")
    assert isinstance(adapter, GuardedAdapter)
    assert len(adapter.poolmanager.connection_pool_kw["ssl_context"].get_ca_certs()) == 1


@pytest.mark.parametrize("shown", [True, False])
def test_client_certificate(authority: trustme.CA, ca_file: Path, tmp_path: Path, shown: bool) -> None:
    """A server that demands a certificate is shown ours, and refuses us without it."""
    context = _server_side(authority.issue_cert(HOST))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    ours = authority.issue_cert("our-node.example", common_name="our node")
    ours.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "ours.pem"))
    choices = {"client_cert": tmp_path / "ours.pem"} if shown else {}
    with HostileServer(_pages, context) as server:
        if not shown:
            with pytest.raises(PartnerError, match=r"TLS failed|closed the connection|reset"):
                _pull(server, ca_file=ca_file)
            return
        assert _pull(server, ca_file=ca_file, **choices) == 3
    assert server.asked[0].client_cert is not None
    assert "our node" in str(server.asked[0].client_cert["subject"])


def test_plain_text_on_the_port(ca_file: Path) -> None:
    """A server that does not speak TLS is told so, not asked in clear text."""
    with HostileServer(_pages) as server:
        url = server.url(COLLECTION, HOST).replace("http:", "https:")
        feed = TaxiiFeed(
            "isac", url, None, _https_opener(server, ca_file), page_size=1, max_pages=9, clock=FixedClock()
        )
        with pytest.raises(PartnerError, match=r"TLS failed|no answer in time"):
            list(feed.pages(None, 0))
        assert server.asked == []


def _https_opener(server: HostileServer, ca_file: Path) -> Any:
    url = f"https://{HOST}:{server.port}/"
    access = Access(ca_file=ca_file, allow_private_address=True)
    return lambda: PartnerSession(url, access, Limits(1.0, 3.0, 1000), clock=FixedClock(), resolve=_here)


def test_handshake_that_hangs(ca_file: Path) -> None:
    """A server that accepts and then says nothing costs no more than the time of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_server = HostileServer(_pages)
        silent_server.port = silent.getsockname()[1]
        url = f"https://{HOST}:{silent_server.port}{COLLECTION}"
        feed = TaxiiFeed(
            "isac", url, None, _https_opener(silent_server, ca_file), page_size=1, max_pages=9, clock=FixedClock()
        )
        began = time.monotonic()
        with pytest.raises(PartnerError, match=r"took longer than 1 s|no answer in time"):
            list(feed.pages(None, 0))
    assert time.monotonic() - began < 4


def test_http_roots_behind_https(authority: trustme.CA, ca_file: Path) -> None:
    """Roots that a server behind a proxy takes for http are asked over https, as the feed's address says."""
    body = b'{"default":"http://%s/root/","api_roots":["http://%s:80/root/"]}' % (HOST.encode(), HOST.encode())
    listing = (
        b'{"collections":[{"id":"91a7b528-80eb-42ed-a74d-c6fbd5a26116","title":"T","can_read":true,"can_write":true}]}'
    )

    def behave(talk: Talk) -> None:
        answers = {"/taxii2/": body, "/root/collections/": listing}
        talk.answer(answers.get(talk.asked.path) or envelope(0, 1))

    with HostileServer(behave, _server_side(authority.issue_cert(HOST))) as server:
        session = opener(server, host=HOST, resolve=_here, ca_file=ca_file)
        url = server.url("/taxii2/", HOST)
        feed = TaxiiFeed("isac", url, None, session, page_size=1, max_pages=9, clock=FixedClock())
        assert len(list(feed.pages(None, 0))) == 1
    assert server.asked[-1].path == COLLECTION + "objects/"
