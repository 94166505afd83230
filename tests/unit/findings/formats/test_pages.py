"""HTML and PDF reports: their text goes through the rules for reports, at its place in the file."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threatshare.config import OwnAssets
from threatshare.findings.formats import pages
from threatshare.findings.formats.pages import HtmlReader, PdfReader
from threatshare.findings.formats.report import ReportReader
from threatshare.model import Finding, Reject

OWN = OwnAssets(domains=("corp.example",))
SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
PROSE = "This is what our analysts wrote about the campaign of last week, and it goes on for a while."


def html(body: str) -> list[Finding | Reject]:
    return list(
        HtmlReader().read(io.BytesIO(f"<!DOCTYPE html>\n<html><body>{body}</body></html>".encode()), "r.html", OWN)
    )


def roles(items: list[Finding | Reject]) -> dict[str, str]:
    return {
        seen.observable.value: seen.role.value
        for item in items
        if isinstance(item, Finding)
        for seen in item.observations
    }


def pdf(*page_lines: list[str], compress: bool = False, encrypt: bool = False) -> bytes:
    """A PDF of a page for each list of lines, written object by object."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(page_lines)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(page_lines)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
    ]
    for n, lines in enumerate(page_lines):
        shown = "".join(f"({line}) Tj T*\n".replace("\\", "\\\\") for line in lines)
        stream = f"BT /F1 10 Tf 12 TL 40 780 Td\n{shown}ET".encode("latin-1")
        stream = zlib.compress(stream) if compress else stream
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        packed = "/Filter /FlateDecode " if compress else ""
        objects.append(f"<< {packed}/Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, text in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + text + b"\nendobj\n"
    begin = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    keys = f"/O <{'00' * 32}> /U <{'00' * 32}>"
    secret = f"/Encrypt << /Filter /Standard /V 1 /R 2 {keys} /P -4 >> /ID [<00> <00>]"
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {secret if encrypt else ''} >>\n".encode()
    return bytes(out) + f"startxref\n{begin}\n%%EOF\n".encode()


def read_pdf(data: bytes) -> list[Finding | Reject]:
    return list(PdfReader().read(io.BytesIO(data), "r.pdf", OWN))


# --- HTML ---------------------------------------------------------------------------------------------------


def test_sections_and_lists_of_a_page_are_seen() -> None:
    """Headings, list items, table rows and code blocks decide as in Markdown."""
    found = html(
        f"<h1>Campaign</h1><p>{PROSE}</p><p>We saw <b>bad</b>[.]test and other.test</p>"
        f"<h2>Indicators of Compromise</h2><ul><li>c2.test</li><li><code>198.51.100.7</code></ul>"
        f"<table><tr><th>Hash<th>Name<tr><td>{SHA256}<td>x.exe</tr></table>"
        "<pre>drop.test\n# References\nload.test</pre>"
        "<h2>References</h2><ul><li>blog.test</li></ul>"
    )
    assert roles(found) == {
        "bad.test": "c2",
        "other.test": "reference",
        "c2.test": "c2",
        "198.51.100.7": "c2",
        SHA256: "payload",
        "drop.test": "c2",
        "load.test": "c2",
        "blog.test": "reference",
    }


def test_findings_name_reader_title_and_line() -> None:
    """The sensor is ``html``, the title the headings, the place the line of the file."""
    (only,) = html("\n<h1>A</h1>\n<h2>C2 servers</h2>\n<p>Some servers of theirs:</p>\n<ul>\n<li>\nevil[.]test</ul>")
    assert isinstance(only, Finding)
    assert (only.sensor, only.title) == ("html", "A > C2 servers > Some servers of theirs")
    assert only.place == "r.html:8"


def test_what_an_author_did_not_write_is_left_out() -> None:
    """Scripts, styles, comments, navigation and footers hold no indicators, and a missing end swallows no text."""
    noise = "evil[.]test"
    found = html(
        f"<script>{noise}</script><style>{noise}</style><!-- {noise} --><nav>{noise}</nav><footer>{noise}</footer>"
        f"<noscript>{noise}</noscript><nav>never closed {noise}<h1>Text</h1><p>good[.]test</p>"
    )
    assert roles(found) == {"good.test": "c2"}


def test_targets_of_links_are_references() -> None:
    """Only the visible text counts, and where a page shortens an address, the target that it begins."""
    long = "https://evil.test/a/very/long/path"
    found = html(
        f'<h1>IOCs</h1><ul><li><a href="https://blog.test/x">the article</a><li><a href="https://blog.test/y">c2[.]test</a>'
        f'<li><a href="{long}">https://evil.test/a/ve…</a></ul>'
    )
    assert roles(found) == {"c2.test": "c2", long: "payload"}


def test_a_layout_of_tables_is_no_table() -> None:
    """Old pages stand in one big cell: its sentences are no rows of indicators."""
    body = f"<h1>IOCs</h1><table><tr><td>{PROSE * 6} See other.test for it.</td><td>x</td></tr></table>"
    assert roles(html(body)) == {"other.test": "reference"}
    inner = "<table><tr><td>c2.test<td>x</table>"
    nested = f"<h1>IOCs</h1><table><tr><td>menu</td><td><p>{PROSE} See other.test too</p>{inner}</table>"
    assert roles(html(nested)) == {"c2.test": "c2", "other.test": "reference"}


def test_values_that_are_split_by_markup_are_whole() -> None:
    """Tags and invisible characters inside a value do not break it; the next cell or line does."""
    assert roles(html("<p>ev<wbr>il[<b>.</b>]te\u00adst</p>")) == {"evil.test": "c2"}
    row = "<h1>IOCs</h1><table><tr><td>198.51.100.1<br>198.51.100.2</td><td>x</td></tr></table>"
    assert roles(html(row)) == {"198.51.100.1": "c2", "198.51.100.2": "c2"}


def test_the_declared_encoding_is_used() -> None:
    """A page in another encoding than UTF-8 names it."""
    page = '<html><meta charset="windows-1251"><h1>Ж</h1><p>evil[.]test'.encode("cp1251")
    (only,) = HtmlReader().read(io.BytesIO(page), "x", OWN)
    assert isinstance(only, Finding)
    assert only.title == "Ж"


@pytest.mark.parametrize(
    "head",
    [
        b"<html>",
        b" \n<!DOCTYPE HTML PUBLIC",
        b"<?xml version='1.0'?>\n<html xmlns=",
        b"<!-- saved -->\n<body>",
        b"\xef\xbb\xbf<head>",
    ],
)
def test_is_a_page(head: bytes) -> None:
    """The first tag tells."""
    assert HtmlReader().recognises(head, "x")
    assert not ReportReader().recognises(head, "x")


@pytest.mark.parametrize(
    "head",
    [
        b"<?xml version='1.0'?><stix:STIX_Package>",
        b"<ioc>",
        b"text <html>",
        b"",
        b"{}",
        b"<htmlx>",
        b"%PDF-1.4",
        b"<!---->" * 500,
    ],
)
def test_is_no_page(head: bytes) -> None:
    """Other XML, text and the rest are other readers' business."""
    assert not HtmlReader().recognises(head, "x.html")


# --- PDF ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_a_pdf_is_read_page_by_page(compress: bool) -> None:
    """A section goes on over the page's end; the place names page and line."""
    found = read_pdf(
        pdf([PROSE, "INDICATORS OF COMPROMISE", "c2.test"], ["drop.test", "x bad[.]test"], compress=compress)
    )
    assert roles(found) == {"c2.test": "c2", "drop.test": "c2", "bad.test": "c2"}
    assert [item.place for item in found] == ["r.pdf:page 1:3", "r.pdf:page 2:1", "r.pdf:page 2:2"]
    assert {item.sensor for item in found if isinstance(item, Finding)} == {"pdf"}


def test_the_time_is_the_files(tmp_path: Path) -> None:
    """A document states no time that can be trusted: its file's is taken."""
    file = tmp_path / "r.pdf"
    file.write_bytes(pdf(["bad[.]test"]))
    os.utime(file, (1_700_000_000, 1_700_000_000))
    with file.open("rb") as stream:
        (only,) = PdfReader().read(stream, "r.pdf", OWN)
    assert isinstance(only, Finding)
    assert only.seen_at == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.4\nnothing more", "cannot be read"),
        (pdf(["bad[.]test"])[:200], "cannot be read"),
        (pdf(["bad[.]test"], encrypt=True), "encrypted"),
        (pdf(*[["x"]] * 2001), "2000 pages"),
    ],
)
def test_a_pdf_that_cannot_be_read_is_one_reject(data: bytes, reason: str) -> None:
    """Broken, encrypted and endless files name what is wrong, and yield nothing else."""
    (only,) = read_pdf(data)
    assert isinstance(only, Reject)
    assert reason in only.reason
    assert only.place == "r.pdf:1"


NAME = b"AnnaLee4111111111111111"
HOSTILE = {
    "a name twice": pdf(["bad[.]test"]).replace(b"/Type /Catalog", b"/Type /Catalog /%b 1 /%b 2" % (NAME, NAME)),
    "a line forged": pdf(["bad[.]test"]).replace(
        b"/Type /Cat", b"/%b#0Aforged 1 /%b#0Aforged 2 /Type /Cat" % (NAME, NAME)
    ),
    "an encoding": pdf(["bad[.]test"]).replace(b"/Subtype /Type1", b"/Subtype /Type0 /Encoding /" + NAME),
    "no digits": pdf(["bad[.]test"]).replace(b"/Type /Font", b"/X <" + NAME + b"> /Type /Font"),
    "a header": pdf(["bad[.]test"]).replace(b"%PDF-1.4", b"%PDF-1.4 " + NAME),
    "a filter": pdf(["bad[.]test"]).replace(b"/Length", b"/Filter /" + NAME + b" /Length"),
    "no end": pdf(["bad[.]test"]).replace(b"%%EOF", NAME),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_pdf_is_logged_or_printed(name: str) -> None:
    """Names and numbers in a broken PDF, and lines that it forges, reach neither log nor output, nor the reason."""
    # In a process of its own: where nothing is set up for logs, they go to standard error.
    code = (
        "import io, sys; from threatshare.config import OwnAssets; from threatshare.findings.formats.pages import *;"
        "print([getattr(one, 'reason', '') for one in PdfReader().read(sys.stdin.buffer, 'x', OwnAssets())])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=HOSTILE[name], capture_output=True, check=True)
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1
    assert b"AnnaLee" not in done.stdout


def test_a_pdf_that_is_refused_says_what_to_do() -> None:
    """The reason is in words, and names what to do instead of an error of the library."""
    for name in ("no end", "a filter"):
        (only,) = read_pdf(HOSTILE[name])
        assert isinstance(only, Reject)
        assert "Error" not in only.reason
        assert " save it" in only.reason


def test_limits_of_a_pdf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that inflates too far, too much text or too much time end the reading; what came before counts."""
    data = pdf(["bad[.]test"], ["x" * 500], compress=True)
    for name, limit in (("MAX_PAGE_STREAM", 200), ("MAX_TEXT", 100)):
        with monkeypatch.context() as patched:
            patched.setattr(pages, name, limit)
            reject, found = read_pdf(data)
        assert isinstance(reject, Reject)
        assert "page 2" in reject.reason
        assert roles([found]) == {"bad.test": "c2"}
    monkeypatch.setattr(pages, "MAX_SECONDS", -1.0)
    (only,) = read_pdf(data)
    assert isinstance(only, Reject)


@pytest.mark.parametrize("reader", [HtmlReader(), PdfReader()])
def test_a_document_beyond_the_limit_is_one_reject(
    reader: HtmlReader | PdfReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents are read as a whole, so their size has a limit."""
    monkeypatch.setattr(pages, "MAX_DOCUMENT", 1000)
    (only,) = reader.read(io.BytesIO(b"x" * 1001), "x", OWN)
    assert isinstance(only, Reject)
    assert "1000 bytes" in only.reason


def test_recognition_of_pdf() -> None:
    """By its first bytes."""
    assert PdfReader().recognises(pdf(["x"]), "x")
    assert not PdfReader().recognises(b"about %PDF-", "x.pdf")


@given(st.text(alphabet="<>/tdrbhpe1li ac=\"'a.[]\n", max_size=120))
def test_any_page_is_read(body: str) -> None:
    """Whatever markup a page has, reading it ends in findings at lines that it has."""
    for item in html(body + "<p>evil[.]test"):
        assert 1 <= int(item.place.rpartition(":")[2]) <= body.count("\n") + 2


@given(st.integers(0, 700), st.binary(min_size=1, max_size=8))
def test_any_damage_to_a_pdf_is_a_reject_or_nothing(at: int, noise: bytes) -> None:
    """A PDF with bytes overwritten is read or refused, never an error."""
    data = pdf(["bad[.]test", PROSE])
    for item in read_pdf(data[:at] + noise + data[at + len(noise) :]):
        assert isinstance(item, Finding | Reject)
