"""Recognises a feed by asking it: one look at its address or path, through the hardened session, and nothing is kept.

    asked for                              an answer like                               is
    TAXII 2.1, then 2.0                    application/taxii+json ...                   taxii, taxii20
    (only an address that may be TAXII)
    anything                               a bundle, objects, an array of such          stix
                                           a manifest, an event                         misp
                                           rows that hold values (``list_forms``)       list
                                           a web page, and manifest.json beside it      misp
                                           any other web page                           refused

The guess from the address alone (``recognition``) remains for what cannot be asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin, urlsplit, urlunsplit

from threatshare.errors import PartnerError
from threatshare.feed_settings import FeedSettings, ListSettings
from threatshare.feeds.access import access_of, checked_url
from threatshare.feeds.content import IS_LINES
from threatshare.feeds.egress import Limits, Resolver, system_resolver
from threatshare.feeds.list_forms import HEAD, form_of
from threatshare.feeds.list_presets import presets
from threatshare.feeds.recognition import kind_of
from threatshare.feeds.session import Answer, BadStatus, Busy, PartnerSession, shown
from threatshare.model import Micros, micros
from threatshare.ports import Clock

Kind = Literal["taxii", "taxii20", "stix", "misp", "list"]

_ACCEPT = "application/stix+json, application/json;q=0.9, text/csv;q=0.8, text/plain;q=0.8, */*;q=0.5"
_TAXII: tuple[tuple[Kind, str], ...] = (
    ("taxii", "application/taxii+json;version=2.1"),
    ("taxii20", "application/vnd.oasis.taxii+json; version=2.0"),
)
_MANIFEST = "manifest.json"
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)", re.IGNORECASE | re.DOTALL).match
_STIX = re.compile(rb'"(?:id|type)"\s*:\s*"(?:bundle\b|[a-z][a-z0-9-]*--[0-9a-fA-F]{8}-)').search
_EVENT = re.compile(rb'^\s*(?:\{\s*"response"\s*:\s*\[?\s*)?[\[\s]*\{\s*"Event"\s*:').match
_ENTRY = re.compile(rb'^\s*\{\s*"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"\s*:\s*\{').match
_JSON = (b"{", b"[")
_LOOK_SECONDS = 20.0
_BOM = b"\xef\xbb\xbf"
_READABLE = frozenset({"", ".json", ".stix", ".stix2"})


class WebPage(PartnerError):
    """What stands at an address is made for people."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an address or path turned out to be."""

    kind: Kind
    words: str
    """By what it was recognised, for a person."""
    url: str | None = None
    """The address to ask instead of the one that was given; None: that one."""
    list: ListSettings | None = None
    """How its rows are probably read."""
    body: bytes | None = None
    """What came, where that is the whole of it."""


def look_at_path(path: Path, now: Micros) -> Look:
    """Recognises a file, or a directory by its first file; raises PartnerError where there is nothing to recognise."""
    if (path / _MANIFEST).is_file():
        return Look("misp", f"{_MANIFEST} in it")
    try:
        file = path
        if path.is_dir():
            files = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
            if not files:
                raise PartnerError(f"{path} is empty")
            file = next((one for one in files if one.suffix.lower() in _READABLE), files[0])
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as problem:
        raise PartnerError(f"{path}: {problem.strerror or problem}") from problem
    found = recognised(head, now, str(path))
    if found is None:
        raise PartnerError(f"{path}: nothing is recognised in its first {len(head)} bytes")
    return found


def look_at_url(
    settings: FeedSettings,
    node_dir: Path,
    clock: Clock,
    resolve: Resolver = system_resolver,
    seconds: float = _LOOK_SECONDS,
) -> Look:
    """Recognises what an address gives; raises PartnerError where it gives nothing that is, WebPage for a web page.

    ``settings`` say how the server is reached; their kind is only how the question begins.
    """
    url = settings.url or ""
    checked_url(url, "the feed", with_query=True)
    access = access_of(settings, node_dir, "the feed")
    limits = Limits(seconds, 2 * seconds, settings.max_page_bytes, connect_seconds=seconds / 2)
    session = PartnerSession(url, access, limits, clock=clock, resolve=resolve)
    now = micros(clock())
    try:
        if kind_of(url) == "taxii":
            found = _taxii(session, url)
            if found is not None:
                return found
        return _content(session, url, now)
    finally:
        session.close()


def _taxii(session: PartnerSession, url: str) -> Look | None:
    """Asks in TAXII's own media types; None where the server speaks neither."""
    parts = urlsplit(url)
    paths = ["/taxii2/", "/taxii/"] if parts.path in ("", "/") else [parts.path.rstrip("/") + "/"]
    refused: PartnerError | None = None
    for kind, media_type in _TAXII:
        for path in paths:
            try:
                _ask(session, urlunsplit(parts._replace(path=path)), media_type, _said(kind))
            except Busy:
                raise
            except BadStatus as problem:
                if problem.status in (401, 403):
                    refused = problem
            except PartnerError as problem:
                if "media type" not in str(problem):
                    raise
            else:
                return Look(kind, f"its answer in TAXII 2.{'1' if kind == 'taxii' else '0'}")
    if refused is not None:
        raise refused
    return None


def _said(kind: Kind) -> Callable[[str], bool]:
    wanted = "application/taxii+json" if kind == "taxii" else "application/vnd.oasis.taxii+json"

    def fits(content_type: str) -> bool:
        return content_type.partition(";")[0].strip().lower() == wanted

    return fits


def _content(session: PartnerSession, url: str, now: Micros) -> Look:
    body = _ask(session, url, _ACCEPT, lambda _: True).body
    if _PAGE(body[:HEAD]):
        folder = url if url.endswith("/") else f"{url}/"
        try:
            beside = _ask(session, urljoin(folder, _MANIFEST), _ACCEPT, lambda _: True).body
        except PartnerError:
            beside = b""
        if _ENTRY(beside[:HEAD]):
            return Look("misp", f"{_MANIFEST} below it", urljoin(folder, _MANIFEST))
        raise WebPage(f"{shown(url)} is a web page; name the address of the list, bundle or server itself")
    known = next((name for name, one in presets().items() if one.url == url), None)
    if known is not None:
        return Look("list", f"the published list {known}", list=ListSettings(preset=known), body=body)
    found = recognised(body[:HEAD], now, url)
    if found is None:
        raise PartnerError(f"{shown(url)}: nothing is recognised in its first {min(len(body), HEAD)} bytes")
    return found if found.kind == "misp" else Look(found.kind, found.words, found.url, found.list, body)


def _ask(session: PartnerSession, url: str, accept: str, media_types: Callable[[str], bool]) -> Answer:
    return session.get(url, place="look", media_types=media_types, headers={"Accept": accept})


def recognised(head: bytes, now: Micros, name: str) -> Look | None:
    """Recognises the beginning of a text; None where it is nothing that is known. ``name`` is its address or path."""
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith(_JSON):
        if _EVENT(text):
            return Look("misp", "a MISP event")
        if _ENTRY(text) and b'"timestamp"' in text:
            return Look("misp", "a MISP manifest")
        if _STIX(text):
            return Look("stix", "objects of STIX")
        if not IS_LINES(text):
            return None
    form = form_of(head, now)
    if form is None:
        return None
    return Look("list", f"{form.words} ({form.share:.0%} of the rows looked at)", list=form.terms)
