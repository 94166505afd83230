"""Requests that no library would send, byte for byte over a socket, at a server that goes on serving others."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
import requests

from taxii_node import TAXII, TaxiiNode, indicator, stix_id
from taxii_process import Server, running
from threatshare.model import CollectionKind
from threatshare.share.app import utc_now
from threatshare.share.stalled import Patience

PATIENCE = Patience(head=1.5, body=0.5)
DEADLINE = 20
"""Seconds within which each connection must have ended; on a quiet machine it takes five."""
MOST_MEGABYTES = 60
"""By which the worker may grow."""
BODY = json.dumps({"objects": [indicator(1)]}).encode()
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
HUB = "/api/collections/hub/objects/"
MILLIONS = 3_000_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path_factory.mktemp("raw"), clock=utc_now) as made:
        made.collection("hub", CollectionKind.EXCHANGE)
        made.collection("hidden", CollectionKind.EXCHANGE)
        made.publish("hidden", indicator(99))
        for name in ("soc", "stranger"):
            made.account(name, read=["hub"], write=["hub"])
        yield made


@pytest.fixture(scope="module")
def server(node: TaxiiNode) -> Iterator[Server]:
    with running(node.file, patience=PATIENCE) as started:
        yield started


def post(node: TaxiiNode, more: str, body: bytes, version: str = "1.1") -> bytes:
    head = f"POST {HUB} HTTP/{version}\r\nHost: localhost\r\nAuthorization: Bearer {node.keys['stranger']}\r\n"
    return f"{head}Accept: {TAXII}\r\nContent-Type: {TAXII}\r\n{more}\r\n\r\n".encode() + body


def get(node: TaxiiNode, path: str, more: str = "") -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {node.keys['stranger']}\r\n"
    return f"{head}Accept: {TAXII}\r\n{more}\r\n".encode()


def exchange(server: Server, sent: bytes) -> tuple[bytes, float]:
    """Sends bytes and reads until the server ends the connection; gives what came, and the seconds."""
    began, got = time.monotonic(), bytearray()
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as client:

        def send() -> None:
            with suppress(OSError):  # the server has heard enough
                client.sendall(sent)

        sender = Thread(target=send, daemon=True)
        sender.start()
        with suppress(ConnectionError, TimeoutError):
            while piece := client.recv(65_536):
                got += piece
    sender.join(5)
    return bytes(got), time.monotonic() - began


def statuses(answer: bytes) -> list[int]:
    return [int(one) for one in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def memory(server: Server) -> int:
    """Gives the most that the worker ever held, in megabytes."""
    (worker,) = server.workers
    told = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert told is not None
    return int(told[1]) // 1024


Attack = tuple[bytes, tuple[list[int], ...]]
"""What is sent, and the answers that it may get; none: the connection just ends."""


def bodies(node: TaxiiNode) -> dict[str, Attack]:
    """Gives bodies and lengths that are wrong, doubled, absurd or without end."""
    chunked, length = "Transfer-Encoding: chunked", f"Content-Length: {len(BODY)}"
    refused: tuple[list[int], ...] = ([], [400], [413])
    return {
        "a chunk of 2^64 bytes": (post(node, chunked, b"ffffffffffffffff\r\nxx"), refused),
        "a chunk size of 40 digits": (post(node, chunked, b"f" * 40 + b"\r\nxx"), refused),
        "a chunk size below zero": (post(node, chunked, b"-5\r\nxx"), refused),
        "a chunk size with 0x": (post(node, chunked, b"0x5\r\n12345\r\n0\r\n\r\n"), refused),
        "a chunk size of millions of zeros": (post(node, chunked, b"0" * MILLIONS), refused),
        "a chunk extension without end": (post(node, chunked, b"5;" + b"a=b;" * MILLIONS), refused),
        "trailers without end": (post(node, chunked, b"0\r\n" + b"X-A: b\r\n" * (MILLIONS // 4)), refused),
        "chunks of one byte that stop": (post(node, chunked, b"1\r\n \r\n" * (MILLIONS // 10)), refused),
        "a length of 2^63": (post(node, "Content-Length: 9223372036854775807", BODY), refused),
        "a length of 23 digits": (post(node, "Content-Length: 99999999999999999999999", BODY), refused),
        "a length below zero": (post(node, "Content-Length: -1", BODY), refused),
        "a length with a plus": (post(node, f"Content-Length: +{len(BODY)}", BODY), refused),
        "a list of lengths": (post(node, f"{length}, {len(BODY)}", BODY), refused),
        "two lengths that differ": (post(node, f"{length}\r\nContent-Length: 1", BODY), refused),
        "half a body": (post(node, "Content-Length: 5000", BODY), refused),
        "chunked in HTTP/1.0": (post(node, chunked, CHUNKED, "1.0"), refused),
        "chunked, and then something else": (post(node, f"{chunked}, identity", CHUNKED), refused),
        "an unknown coding": (post(node, "Transfer-Encoding: xchunked", CHUNKED), refused),
        "a blank before the colon": (post(node, "Transfer-Encoding : chunked", CHUNKED), refused),
        "a folded header": (post(node, f"X-A: b\r\n c\r\n{length}", BODY), refused),
    }


def smuggled(node: TaxiiNode) -> dict[str, Attack]:
    """Gives requests of which two readers could see different ends: what lies behind must not be another's answer."""
    hidden = get(node, "/taxii2/")
    chunked, length = "Transfer-Encoding: chunked", f"Content-Length: {len(BODY)}"
    return {
        "ended by chunks": (post(node, f"Content-Length: 4\r\n{chunked}", CHUNKED + hidden), ([202], [400])),
        "ended by length": (post(node, f"{chunked}\r\n{length}", BODY + hidden), ([], [400])),
        "a length of 4 before a whole body": (post(node, "Content-Length: 4", BODY + hidden), ([400], [400, 400])),
        "two equal lengths": (post(node, f"{length}\r\n{length}", BODY), ([202], [400])),
    }


def paths(node: TaxiiNode) -> dict[str, Attack]:
    """Gives addresses that lead elsewhere for whoever decodes them otherwise."""
    not_found = ([404],)
    wanted: dict[str, Attack] = {
        path: (get(node, path, "Connection: close\r\n"), not_found)
        for path in (
            "/api/%2e%2e/%2e%2e/etc/passwd",
            "/api/../collections/hub/objects/",
            "/api/collections/hidden/objects/",
            "/api/collections/hub/../hidden/objects/",
            "/api/collections/hub/%2e%2e/hidden/objects/",
            "/api/collections/hub%2f..%2fhidden/objects/",
            "/api%2fcollections%2fhidden/objects/",
            "//api//collections//hidden//objects//",
            "/api/collections/hub%00/objects/",
            "/api/collections/%ff%fe/objects/",
            "/api/collections/%zz%/objects/",
            f"/api/collections/hub/objects/{stix_id(99)}/",
        )
    }
    many = ",".join(f"a{number}" for number in range(10_000))
    return wanted | {
        "a raw NUL": (b"GET /api/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", ([], [400])),
        "NUL in a filter": (get(node, f"{HUB}?match[id]=%00&limit=%00", "Connection: close\r\n"), ([400],)),
        "10,000 types": (get(node, f"{HUB}?match[type]={many}", "Connection: close\r\n"), ([400], [414])),
        "10,000 ids": (get(node, f"{HUB}?match[id]={','.join([stix_id(1)] * 10_000)}"), ([], [400], [414], [431])),
        "a query of 100 kB": (get(node, f"{HUB}?{'a=b&' * 25_000}"), ([], [400], [414], [431])),
        "a query of 12 MB": (get(node, f"{HUB}?{'a=b&' * MILLIONS}"), ([], [400], [414], [431])),
    }


def heads(node: TaxiiNode) -> dict[str, Attack]:
    """Gives heads of requests without end, or of other protocols."""
    flood = "".join(f"X-{number}: y\r\n" for number in range(100_000))
    refused: tuple[list[int], ...] = ([], [400], [431])
    return {
        "100,000 headers": (get(node, "/taxii2/", flood), refused),
        "a header of 3 MB": (get(node, "/taxii2/", f"X-A: {'y' * MILLIONS}\r\n"), refused),
        "a method of 100 kB": (b"A" * 100_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n", ([], [400], [401], [405])),
        "two hosts": (b"GET /taxii2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", ([400],)),
        "no host": (b"GET /taxii2/ HTTP/1.1\r\nConnection: close\r\n\r\n", ([400],)),
        "CONNECT": (b"CONNECT other.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", ([], [400], [401], [405])),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused),
        "HTTP/9.9": (b"GET /taxii2/ HTTP/9.9\r\nHost: localhost\r\n\r\n", refused),
        "HTTP/0.9": (b"GET /taxii2/\r\n", refused),
        "TLS": (bytes.fromhex("1603010200010001fc0303"), refused),
    }


@pytest.mark.parametrize("attacks", [bodies, smuggled, paths, heads], ids=lambda one: str(one.__name__))
def test_every_oddity_ends_with_an_error_or_the_connection(node: TaxiiNode, server: Server, attacks: object) -> None:
    """Each is answered with an error resource, or its connection ended, in time and in bounded memory, while an honest
    client waits less than a second."""
    assert callable(attacks)
    wanted: dict[str, Attack] = attacks(node)
    before = memory(server)
    with ThreadPoolExecutor(len(wanted)) as pool:
        coming = {name: pool.submit(exchange, server, sent) for name, (sent, _) in wanted.items()}
        waits: list[float] = []
        while not all(one.done() for one in coming.values()) or not waits:
            waits.append(honest(node, server))
        wrong = {}
        for name, one in coming.items():
            answer, seconds = one.result()
            told = statuses(answer)
            if told not in wanted[name][1] or seconds > DEADLINE - 1 or not _well_told(answer):
                wrong[name] = (told, seconds, answer[:300])
    assert not wrong
    assert sorted(waits)[len(waits) * 95 // 100] < 1, sorted(waits)[-5:]
    assert memory(server) - before < MOST_MEGABYTES


def _well_told(answer: bytes) -> bool:
    """Whether every body of an answer is of TAXII; a server that cannot read a request at all answers without one."""
    parts = re.split(rb"(?=HTTP/1\.[01] \d{3} )", answer)[1:]
    heads_and_bodies = [part.partition(b"\r\n\r\n")[::2] for part in parts]
    return all(not body or TAXII.encode() in head for head, body in heads_and_bodies)


def honest(node: TaxiiNode, server: Server) -> float:
    began = time.monotonic()
    answer = requests.get(f"{server.url}{HUB}", auth=("soc", node.keys["soc"]), timeout=20)
    assert answer.status_code == 200
    time.sleep(0.05)
    return time.monotonic() - began - 0.05
