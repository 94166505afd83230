"""Our text extraction beside two other extractors, on vendors' indicator notes: where those two agree, so do we."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from threatshare.errors import BadValue
from threatshare.findings.extraction import extract
from threatshare.model import Kind
from threatshare.stix.observables import canonical

if TYPE_CHECKING:
    from iocsearcher.searcher import Searcher

FINDER_KINDS = {
    "ipv4s": Kind.IPV4,
    "ipv6s": Kind.IPV6,
    "domains": Kind.DOMAIN,
    "urls": Kind.URL,
    "email_addresses": Kind.EMAIL,
    "md5s": Kind.MD5,
    "sha1s": Kind.SHA1,
    "sha256s": Kind.SHA256,
    "sha512s": Kind.SHA512,
}
FILE_SUFFIXES = (".zip", ".cab", ".dot", ".save", ".py")
WORD_LISTS = ("dreambus__postgresql_passwd.txt",)
Value = tuple[Kind, str]


def by_ioc_finder(text: str) -> set[Value]:
    """Asks ioc-finder the same question: no hosts of URLs and mail addresses, no URLs without a scheme."""
    from ioc_finder import find_iocs

    found = find_iocs(
        text,
        parse_domain_from_url=False,
        parse_from_url_path=False,
        parse_domain_from_email_address=False,
        parse_address_from_cidr=False,
        parse_urls_without_scheme=False,
    )
    values: set[Value] = set()
    for name, kind in FINDER_KINDS.items():
        for value in found.get(name, ()):
            try:
                observable = canonical(kind, corrected(value) if kind is Kind.URL else value)
            except BadValue:
                continue
            values.add((observable.kind, observable.value))
    return {value for value in values if not is_mistaken(value, text)}


def corrected(url: str) -> str:
    """Takes away what the oracle leaves on a URL: AsciiDoc's plus signs, a sentence's end, a table's next column."""
    head, comma, rest = url.rpartition(",")
    if comma and rest[:4].isdigit():
        url = head
    return url.removesuffix("++").rstrip(".")


def is_mistaken(value: Value, text: str) -> bool:
    """Rules on which the oracle is demonstrably wrong: files, detection names, and hex inside longer words."""
    kind, found = value
    if kind is Kind.DOMAIN:
        if found.endswith(FILE_SUFFIXES):
            return True
        at = text.lower().find(found)
        as_written = text[at : at + len(found)]
        # "Win32/Injector.JO": a capital letter after the last dot, behind a slash.
        return at > 0 and text[at - 1] == "/" and as_written.rpartition(".")[2][0].isupper()
    if kind in (Kind.MD5, Kind.SHA1, Kind.SHA256, Kind.SHA512):
        at = text.lower().find(found)
        return at > 0 and text[at - 1].isalnum()
    return False


SEARCHER_KINDS = {
    "ip4": Kind.IPV4,
    "ip6": Kind.IPV6,
    "fqdn": Kind.DOMAIN,
    "onionAddress": Kind.DOMAIN,
    "url": Kind.URL,
    "email": Kind.EMAIL,
    "md5": Kind.MD5,
    "sha1": Kind.SHA1,
    "sha256": Kind.SHA256,
    "sha512": Kind.SHA512,
}


def by_iocsearcher(searcher: Searcher, text: str) -> set[Value]:
    """Asks iocsearcher the same question: what lies inside a longer match is part of that."""
    found = [(start, start + len(raw), kind, value) for kind, value, start, raw in searcher.search_raw(text)]
    found.sort(key=lambda one: (one[0], -one[1]))
    values, end = set(), -1
    for _, stop, kind, value in found:
        if stop <= end or kind not in SEARCHER_KINDS:
            continue
        end = stop
        try:
            observable = canonical(SEARCHER_KINDS[kind], corrected(value) if kind == "url" else value)
        except BadValue:
            continue
        values.add((observable.kind, observable.value))
    return {value for value in values if not is_mistaken(value, text)}


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    """iocsearcher, which is slow to set up; it logs what it cannot read."""
    from iocsearcher.searcher import Searcher

    logging.getLogger("iocsearcher").setLevel(logging.CRITICAL)
    return Searcher()


def reports(samples: Path) -> list[Path]:
    """Vendors' notes; lists of words that only look like names are none."""
    paths = [path for folder in sorted(samples.glob("reports-*")) for path in sorted(folder.iterdir())]
    return [path for path in paths if path.name not in ("SOURCE.txt", *WORD_LISTS)]


def test_extraction_where_both_oracles_agree(samples: Path, searcher: Searcher) -> None:
    """Precision is at least .97 and recall at least .99; what only one of them finds proves nothing either way."""
    right = missed = invented = 0
    for path in reports(samples):
        text = path.read_text(encoding="utf-8", errors="replace")
        ours = {(found.observable.kind, found.observable.value) for found in extract(text)}
        first, second = by_ioc_finder(text), by_iocsearcher(searcher, text)
        right += len(ours & first & second)
        missed += len((first & second) - ours)
        invented += len(ours - first - second)
    print(f"right {right}, missed {missed}, invented {invented}")
    assert right > 5_000
    assert right / (right + invented) >= 0.97
    assert right / (right + missed) >= 0.99
