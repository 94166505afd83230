"""OpenIOC 1.0 and 1.1: a tree of terms, of which only those under nothing but OR may stand alone.

A term under AND says nothing by itself, nor does one that is negated or asks for less than the whole value. Of these,
and of terms for what is not shared (file names, registry keys ...), a Reject of the file gives the number, so that
nothing is lost unseen. The format has no markings: what others wrote, or wrote with us, is held, and what names no
author too. An author may stand anywhere, so the whole file is read for its metadata before any term is. Files of up to
16 MiB, XML without a document type.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.authorship import held_for_author
from threatshare.findings.events import Event, Proposal, finding_of, overruled
from threatshare.findings.formats.columns import value_of
from threatshare.findings.records import SHOWN, file_time
from threatshare.findings.roles import Ruling
from threatshare.model import Finding, Kind, Marking, Reject, Role
from threatshare.stix.timestamps import read_loose_time

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_FILE = 16 * 1024 * 1024
"""Bytes."""
MAX_DEPTH = 64
"""Elements within each other."""

_IP = (Kind.IPV4, Kind.IPV6)
_REMOTE = Ruling(Role.C2, "OpenIOC: the remote end of a connection of ours")
_ASKED = Ruling(Role.C2, "OpenIOC: a name that our side asked for")
_VISITED = Ruling(Role.PAYLOAD, "OpenIOC: a URL that our side asked for")
_SENT = Ruling(Role.PHISH_SENDER, "OpenIOC: the sender of a mail")
_FILE = Ruling(Role.PAYLOAD, "OpenIOC: the hash of a file")

_TERMS: Mapping[str, tuple[tuple[Kind, ...], Ruling]] = {
    "portitem/remoteip": (_IP, _REMOTE),
    "dnsentryitem/host": ((Kind.DOMAIN,), _ASKED),
    "dnsentryitem/recordname": ((Kind.DOMAIN,), _ASKED),
    "network/dns": ((Kind.DOMAIN,), _ASKED),
    "urlhistoryitem/hostname": ((Kind.DOMAIN,), _ASKED),
    "urlhistoryitem/url": ((Kind.URL,), _VISITED),
    "email/from": ((Kind.EMAIL,), _SENT),
    **{
        f"{item}{name}sum": ((kind,), _FILE)
        for item in (
            *("fileitem/", "driveritem/", "taskitem/", "processitem/sectionlist/memorysection/"),
            *("serviceitem/path", "serviceitem/servicedll"),
        )
        for name, kind in (("md5", Kind.MD5), ("sha1", Kind.SHA1), ("sha256", Kind.SHA256))
    },
}
"""What a term searches (``Context/@search``, in lower case) and what its value then is. Seen in samples: the first
three, ``Email/From`` and ``FileItem/Md5sum``; the others are Mandiant's terms as converters list them, those of
``DriverItem`` and ``MemorySection`` unverified. ``Email/To``, ``PortItem/localIP``, ``SystemInfoItem`` and the like are
ours: never read.
"""

_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<").match
_ROOT = re.compile(
    rb"<(?:[\w.-]+:)?(?:ioc|OpenIOC)\s[^<>]*(?:schemas\.mandiant\.com/2010/ioc|openioc\.org/schemas/)"
).search

_ROOTS = frozenset({"ioc", "OpenIOC"})
_UNDER_AND = "under AND"
_IN_PART = "negated, or not the whole value"
_NOT_SHARED = "of a kind that is not shared"


class OpenIocReader:
    """Reads the terms of OpenIOC files that stand alone."""

    name = "openioc"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the root element with its namespace."""
        return _XML(head) is not None and _ROOT(head) is not None

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding a term, its place naming the term, and one Reject that counts what cannot stand alone."""
        # Untrusted XML: defusedxml refuses document types and entities.
        from defusedxml.ElementTree import ParseError

        text = stream.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            yield Reject(place, f"OpenIOC file of more than {MAX_FILE} bytes")
            return
        try:
            metadata = _metadata(text)
        except (ParseError, LookupError, ValueError) as problem:
            # ValueErrors: what defusedxml refuses, too many levels, wide encodings; LookupErrors: unknown encodings.
            shown = text[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN]
            yield Reject(place, f"no XML that can be read: {problem}", shown)
            return
        reading = _Reading(place, own, file_time(stream), metadata)
        # Read to its end once, it can be read to its end again.
        for element, above in _elements(text):
            yield from reading.element(element, above)
        yield from reading.summary()


@dataclass(frozen=True, slots=True)
class _Metadata:
    """What a file says of itself."""

    authors: tuple[str, ...]
    """Every one that it names, wherever that stands."""
    said: Mapping[str, str]
    """Of the other metadata the first, by the name of the element."""

    def author(self, own: OwnAssets) -> str:
        """Names an author, somebody else before ourselves; empty where none is named."""
        others = (one for one in self.authors if not own.is_us(one))
        return next(others, next(iter(self.authors), ""))


def _metadata(text: bytes) -> _Metadata:
    """Reads a whole file for what it says of itself; raises what ``_elements`` does."""
    authors: list[str] = []
    said: dict[str, str] = {}
    for element, _ in _elements(text):
        match _local(element):
            case "authored_by":
                authors.append(" ".join("".join(element.itertext()).split()))
            case "short_description" | "authored_date" as name:
                said.setdefault(name, (element.text or "").strip())
            case name if name in _ROOTS:
                said["last-modified"] = element.get("last-modified", "")
    return _Metadata(tuple(one for one in authors if one), said)


def _elements(text: bytes) -> Iterator[tuple[Element, Sequence[Element]]]:
    """Yields each element when it is complete, with those around it, and then lets go of it.

    Raises BadValue where too many are open, else what defusedxml does.
    """
    from defusedxml.ElementTree import iterparse

    stack: list[Element] = []
    for event, element in iterparse(BytesIO(text), ("start", "end"), forbid_dtd=True):
        if event == "start":
            if len(stack) >= MAX_DEPTH:
                raise BadValue(f"elements more than {MAX_DEPTH} deep")
            stack.append(element)
            continue
        stack.pop()
        yield element, stack
        # What stands within a name is part of it.
        if stack and all(_local(one) != "authored_by" for one in stack):
            stack[-1].remove(element)


@dataclass(slots=True)
class _Reading:
    """The terms of one file under way."""

    place: str
    own: OwnAssets
    written_at: datetime
    """The file's own time, where it states none."""
    metadata: _Metadata
    passed: Counter[str] = field(default_factory=Counter)
    terms: int = 0
    search: str = ""
    """Of the term that is open: what it searches."""
    content: str = ""
    """Of the term that is open: its value."""

    def element(self, element: Element, above: Sequence[Element]) -> Iterator[Finding | Reject]:
        """Reads an element that is complete; ``above``: those that it stands in."""
        in_term = bool(above) and _local(above[-1]) == "IndicatorItem"
        match _local(element):
            case "Context" if in_term:
                self.search = element.get("search", "").strip().lower()
            case "Content" if in_term:
                self.content = (element.text or "").strip()
            case "IndicatorItem":
                yield from self._term(element, above)
                self.search = self.content = ""

    def _term(self, item: Element, above: Sequence[Element]) -> Iterator[Finding | Reject]:
        self.terms += 1
        kinds, ruling = _TERMS.get(self.search, ((), _FILE))
        reason = self._obstacle(item, above, bool(kinds))
        if reason:
            self.passed[reason] += 1
            return
        where = f"{self.place} term {item.get('id', '')[:40] or self.terms}"
        try:
            observable = value_of(self.content, kinds)
            finding = finding_of(
                self._event(Proposal(observable.kind, observable.value, ruling)), OpenIocReader.name, where, self.own
            )
        except BadValue as problem:
            yield Reject(where, str(problem), self.content[:SHOWN])
        else:
            if finding is not None:
                yield finding

    def _obstacle(self, item: Element, above: Sequence[Element], shared: bool) -> str:
        if any(one.get("operator", "").upper() != "OR" for one in above if _local(one) == "Indicator"):
            return _UNDER_AND
        negated = item.get("negate", "false").strip().lower() not in ("false", "0")
        if negated or item.get("condition", "").strip().lower() != "is":
            return _IN_PART
        return "" if shared else _NOT_SHARED

    def _event(self, proposal: Proposal) -> Event:
        held = held_for_author(self.metadata.author(self.own), Marking(None), self.own)
        said = self.metadata.said
        dates = (read_loose_time(said.get(name, "")) for name in ("authored_date", "last-modified"))
        # Year 1 is how .NET writes that there is no date.
        stated = next((at for at in dates if at is not None and at.year > 1), None)
        return Event(
            title=said.get("short_description", ""),
            seen_at=stated or self.written_at,
            proposals=[proposal] if held is None else overruled([proposal], held),
        )

    def summary(self) -> Iterator[Reject]:
        """Counts what cannot stand alone."""
        if self.passed:
            counted = ", ".join(f"{number} {reason}" for reason, number in self.passed.items())
            yield Reject(
                self.place,
                f"{self.passed.total()} of {self.terms} terms are no value that could stand alone: {counted}",
            )


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]
