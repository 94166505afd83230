from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import pytest
from werkzeug.test import Client

from taxii_node import TAXII, TaxiiNode, indicator
from threatshare.model import CollectionKind
from threatshare.share.settings import ServeSettings


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TaxiiNode]:
    settings = ServeSettings(max_content_length=20_000)
    with TaxiiNode(tmp_path_factory.mktemp("node"), settings) as made:
        made.collection("one")
        made.collection("box", CollectionKind.INBOX)
        made.account("soc", read=["one"], write=["box"])
        made.publish("one", indicator(1))
        yield made


ROUTES = [
    "/taxii2/",
    "/api/",
    "/api/collections/",
    "/api/collections/one/",
    "/api/collections/one/objects/",
    "/api/collections/one/manifest/",
]


@pytest.mark.parametrize("path", ROUTES)
def test_1_6_8_any_spelling_of_the_media_type(node: TaxiiNode, path: str) -> None:
    """§1.6.8: a server must not refuse `application/taxii+json` without version, nor any legal spelling."""
    for accept in (
        "application/taxii+json",
        "application/taxii+json; version=2.1",
        'application/taxii+json;version="2.1"',
        "APPLICATION/TAXII+JSON;q=0.3",
        "*/*",
        "-",
    ):
        answer = node.get(path, "soc", Accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (200, TAXII), accept


@pytest.mark.parametrize("path", ROUTES)
def test_1_6_8_another_version_is_406(node: TaxiiNode, path: str) -> None:
    """§1.6.8: asked for nothing but another version the server answers 406, which XSOAR takes as the cue for 2.0."""
    for accept in ("application/taxii+json;version=2.0", "application/vnd.oasis.taxii+json; version=2.0", "text/html"):
        answer = node.get(path, "soc", Accept=accept)
        assert (answer.status, answer.headers["Content-Type"]) == (406, TAXII)
        assert answer.json["http_status"] == "406"


@pytest.mark.parametrize("path", ROUTES)
def test_s11_with_and_without_trailing_slash(node: TaxiiNode, path: str) -> None:
    """S11: a missing or doubled slash is served at once; a redirect would lose credentials and filters."""
    straight = node.get(path, "soc")
    for spelling in (path.rstrip("/"), path + "/", "/" + path[1:].replace("/", "//")):
        answer = node.get(spelling, "soc")
        assert (answer.status, answer.body) == (200, straight.body)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/taxii+json;version=2.1",
        "application/taxii+json",
        "application/taxii+json; version=2.1; charset=utf-8",
        "application/stix+json; version=2.1",
    ],
)
def test_5_5_content_types_that_are_taken(node: TaxiiNode, content_type: str) -> None:
    """§5.5: objects come as TAXII 2.1 with or without version and parameters; OpenCTI posts them as STIX (S18)."""
    answer = node.request(
        "POST", "/api/collections/box/objects/", "soc", body={"objects": [indicator(1)]}, Content_Type=content_type
    )
    assert answer.status == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "application/json"},
        {"Content_Type": "application/taxii+json;version=2.0"},
        {"Content_Type": "-"},
        {"Content_Encoding": "gzip"},
    ],
)
def test_5_5_other_content_types_are_415(node: TaxiiNode, headers: dict[str, str]) -> None:
    """§5.5: any other content type, or a compressed body, is refused with 415."""
    answer = node.request("POST", "/api/collections/box/objects/", "soc", None, b"{}", None, **headers)
    assert (answer.status, answer.headers["Content-Type"]) == (415, TAXII)


def test_a_compressed_body_is_told_apart_from_a_wrong_type(node: TaxiiNode) -> None:
    """Who sends a coded body reads that the coding is what is wrong; who sends another type reads of the type."""
    path = "/api/collections/box/objects/"
    coded = node.request("POST", path, "soc", None, b"{}", None, Content_Encoding="gzip")
    typed = node.request("POST", path, "soc", None, b"{}", None, Content_Type="text/plain")
    assert "Content-Encoding" in coded.json["description"]
    assert "Content-Type" in typed.json["description"]


def test_5_5_a_body_too_large_is_413_before_it_is_read(node: TaxiiNode) -> None:
    """§5.5: a declared length beyond max_content_length is refused without reading one byte of the body."""

    class Unread:
        def read(self, *_: object) -> bytes:
            raise AssertionError("the body was read")

        readline = readlines = readinto = read

    started: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/collections/box/objects/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_AUTHORIZATION": f"Bearer {node.keys['soc']}",
        "CONTENT_TYPE": TAXII,
        "CONTENT_LENGTH": "20001",
        "wsgi.input": Unread(),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
    }
    body = b"".join(node.app(environ, lambda status, _headers, _=None: started.append(status)))
    assert started[0].startswith("413")
    assert b'"http_status":"413"' in body


@pytest.mark.parametrize(("size", "status"), [(0, 400), (19_000, 202), (20_000, 202), (20_001, 413), (300_000, 413)])
@pytest.mark.parametrize("chunked", [True, False])
def test_4_2_1_bodies_up_to_the_advertised_length(node: TaxiiNode, size: int, status: int, chunked: bool) -> None:
    """A body fills max_content_length to the byte (MISP does), chunked or not; one more is 413, none is 400."""
    envelope = b'{"objects":[{"type":"indicator","id":"' + b"x" * (size - 42) + b'"}]}' if size else b""
    assert len(envelope) == size
    headers = {"Authorization": f"Bearer {node.keys['soc']}", "Content-Type": TAXII}
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
    answer = Client(node.app).post(
        "/api/collections/box/objects/",
        headers=headers,
        input_stream=BytesIO(envelope),
        content_length=None if chunked else len(envelope),
        environ_base={"wsgi.input_terminated": True},
    )
    assert answer.status_code == status
    assert answer.content_type == TAXII
