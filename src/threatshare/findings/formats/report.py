"""Written reports and bare lists: plain text, Markdown, AsciiDoc, with values defanged or not.

Authors defang what they think dangerous, but not hashes, and some defang nothing: so the section decides too. What
is neither defanged nor in a list is a reference, or, for addresses, held. A file of nothing but values, one a line,
is a list as a whole.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain, groupby
from typing import BinaryIO

from threatshare.config import OwnAssets
from threatshare.findings.extraction import Extracted, extract
from threatshare.findings.formats.sections import Fences, Heading, Outline, Section, heading
from threatshare.findings.formats.table import ROLE_OF_KIND
from threatshare.findings.records import Numbered, ahead, file_time, text_lines
from threatshare.findings.roles import Ruling, judge
from threatshare.findings.third_parties import on_third_party_host
from threatshare.model import Finding, Kind, Observation, Reject, Role

_SNIFFED = 400
_BLOCK = 32 * 1024
"""Characters that are searched at once."""
_LIST_SHARE = 0.8
"""Share of lines that are values at which a file is a list as a whole."""
_LIST_REST = 80
"""Characters that may stand behind the value on a line of a list: a file name, a network's name."""

_LOG_LINE = re.compile(
    r"\s*(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d |\d{10}\.\d|"
    r"\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/)"
).match
_CLOCK = re.compile(r"\d\d:\d\d:\d\d").search
_LEAD = re.compile(r"[\s\-*•·>|+`'\"\[\]().#\d]*(?:[\w &/#.()-]{1,40}(?::|=|->)\s*)?[\s`'\"+*|\[(]*").fullmatch
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_COMMIT = re.compile(r"(?i)\b(?:commit|revision|changeset|git)\b[^\n]{0,40}\Z").search
_NETWORK = frozenset({Kind.IPV4, Kind.IPV6, Kind.DOMAIN, Kind.URL})
_ADDRESS = frozenset({Kind.IPV4, Kind.IPV6})
_REFERENCE_HOSTS = frozenset({"a reference site", "a registrar or name server", "a certificate authority"})

_OF_SECTION = {
    Section.REFERENCE: Ruling(Role.REFERENCE, "in a section of references, contacts or advice"),
    Section.SECRETS: Ruling(Role.REFERENCE, "in a section of keys, certificates, registry entries or the like"),
    Section.VICTIMS: Ruling(Role.VICTIM_ASSET, "in a section about victims or targets"),
    Section.BENIGN: Ruling(Role.THIRD_PARTY, "in a section of what the authors call legitimate"),
}
_VERSION = Ruling(Role.REFERENCE, "the id of a commit, not of a file")
_PLACEHOLDER = Ruling(Role.UNKNOWN, "the URL goes on with a placeholder: a person must say what is fixed; held")
_LINK = Ruling(Role.REFERENCE, "a link of the text, not defanged")
_KNOWN_SITE = Ruling(Role.REFERENCE, "not defanged, on a site that reports refer to")
_PATH = Ruling(
    Role.UNKNOWN, "named with a path, but no scheme: the whole host may not be bad; a person can decide; held"
)
_CONTACT = Ruling(Role.REFERENCE, "a mail address, not defanged and in no list of indicators: a contact")
_MENTION = Ruling(Role.REFERENCE, "not defanged and in no list of indicators: a mention")
_ADDRESS_MENTION = Ruling(
    Role.UNKNOWN, "an address, not defanged and in no list of indicators: what the sentence says would decide; held"
)


class ReportReader:
    """Reads text; the last to be asked, since anything is text."""

    name = "text"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells prose and lists from binary files, structured data and logs, which are no reports."""
        text = head.decode("utf-8-sig", "replace")
        if b"\0" in head or text.count("\ufffd") > len(text) // 20:
            return False
        if text.lstrip()[:1] in ("{", "<") or re.match(r"\s*\[\s*[{\[\"]", text) or "#separator" in text:
            return False
        lines = [line for line in text.splitlines() if line.strip()]
        return bool(lines) and sum(_LOG_LINE(line) is not None for line in lines) < 0.5 * len(lines)

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each line that holds a value, titled with its headings, at the file's own time."""
        written_at = file_time(stream)
        lines = text_lines(stream, place)
        first = ahead(lines, _SNIFFED)
        listed = _is_list([item[1] for item in first if not isinstance(item, Reject)])
        for block in _blocks(chain(first, lines)):
            if isinstance(block, Reject):
                yield block
            else:
                yield from _findings(block, listed, place, written_at, own)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    fenced: bool
    before: str
    """The line before."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines under one heading."""

    title: str
    section: Section | None
    use: Role | None
    lines: list[_Line]


def _is_list(lines: list[str]) -> bool:
    """Tells whether a file consists nearly only of values, one a line."""
    said = [line for line in lines if line.strip() and not line.lstrip().startswith("#") and not line.endswith(":")]
    return bool(said) and sum(map(_is_listed, said)) >= _LIST_SHARE * len(said)


def _is_listed(line: str) -> bool:
    first = next(extract(line), None)
    return (
        first is not None
        and not line[: first.start].strip(" \t-*•|`+'\"")
        and len(line) - first.end <= _LIST_REST
        and _CLOCK(line) is None
    )


def _with_next(lines: Iterable[Numbered | Reject]) -> Iterator[tuple[Numbered, str] | Reject]:
    """Yields each line with the text of the one after it."""
    held: Numbered | None = None
    for item in lines:
        if isinstance(item, Reject):
            yield item
            continue
        if held is not None:
            yield held, item[1]
        held = item
    if held is not None:
        yield held, ""


def _blocks(lines: Iterable[Numbered | Reject]) -> Iterator[_Block | Reject]:
    """Cuts a text at its headings, and long sections at a size."""
    outline, fences = Outline(), Fences()
    held: list[_Line] = []
    size, before = 0, ""
    for item in _with_next(lines):
        if isinstance(item, Reject):
            yield item
            continue
        (number, text), after = item
        found = None if fences.inside(text) else _heading(text, before, after)
        if held and (found is not None or size > _BLOCK):
            yield _Block(outline.title, outline.section, outline.use, held)
            held, size = [], 0
        if found is not None:
            outline.enter(found)
        elif text.strip():
            held.append(_Line(number, text, fences.open, before))
            size += len(text)
        before = "" if found is not None else text
    if held:
        yield _Block(outline.title, outline.section, outline.use, held)


def _heading(text: str, before: str, after: str) -> Heading | None:
    found = heading(text, before, after)
    return found if found is not None and next(extract(text), None) is None else None


def _is_prose(line: str) -> bool:
    """Tells a line of a sentence that may go on in the next line."""
    text = line.strip()
    words = [word for word in text.split() if _LETTERS.match(word)]
    return len(words) >= 4 and text[0] not in "-|*#=.`" and text[-1] not in ".:!?;"


def _findings(block: _Block, listed: bool, place: str, written_at: datetime, own: OwnAssets) -> Iterator[Finding]:
    text = "\n".join(line.text for line in block.lines)
    begins = list(accumulate((len(line.text) + 1 for line in block.lines), initial=0))
    for at, found in groupby(extract(text), key=lambda value: bisect_right(begins, value.start) - 1):
        line, begin = block.lines[at], begins[at]
        observations: list[Observation] = []
        for value in found:
            in_list = bool(observations) or line.fenced or _is_led(line, text[begin : value.start])
            ruling = _ruling(value, block, in_list, listed, text)
            observations.append(judge(value.observable, ruling, value.original, own))
        yield Finding(
            sensor=ReportReader.name,
            title=block.title,
            seen_at=written_at,
            last_seen_at=written_at,
            observations=tuple(observations),
            place=f"{place}:{line.number}",
        )


def _is_led(line: _Line, lead: str) -> bool:
    """Tells whether a value stands in a list: nothing before it but a bullet, a label or the cells of a table."""
    if line.text.lstrip().startswith("|"):
        return True
    if len(lead) > 60 or _LEAD(lead) is None:
        return False
    return not _is_prose(line.before) or next(extract(line.before), None) is not None


def _ruling(value: Extracted, block: _Block, in_list: bool, listed: bool, text: str) -> Ruling:
    """Tells what a value is, by section, defanging and place in the line; the first rule that applies decides."""
    kind = value.observable.kind
    after = text[value.end : value.end + 2]
    in_section = _OF_SECTION.get(block.section) if block.section is not None else None
    if in_section is not None:
        return in_section
    if kind is Kind.URL and after[:1] in ("<", "{"):
        return _PLACEHOLDER
    if kind is Kind.SHA1 and _COMMIT(text, max(0, value.start - 60), value.start):
        return _VERSION
    if kind not in _NETWORK and kind is not Kind.EMAIL:
        return Ruling(Role.PAYLOAD, "a file hash; those are never defanged")
    counts = in_list and (listed or block.section is Section.INDICATORS)
    if not value.defanged:
        if kind is Kind.URL and (after[:1] == "[" or text[value.start - 2 : value.start] == "]("):
            return _LINK
        host = on_third_party_host(value.observable)
        if host in _REFERENCE_HOSTS or (host and not counts):
            return _KNOWN_SITE
        if not counts:
            return _CONTACT if kind is Kind.EMAIL else _ADDRESS_MENTION if kind in _ADDRESS else _MENTION
    elif kind is Kind.DOMAIN and after[:1] == "/" and after[1:].strip():
        return _PATH
    role = ROLE_OF_KIND[kind]
    if block.use is not None and kind in _NETWORK and (block.use is not Role.ATTACKER or kind in _ADDRESS):
        role = block.use
    return Ruling(role, "defanged by the author" if value.defanged else "in a list of indicators")
