"""STIX 1.x packages, through a maintained converter (misp-stix, an extra), whose result is read as a MISP event.

What the package says of itself as a whole is read here, because it gets lost on the way (``stix1_document``); the
converter runs apart (``stix1_converter``). Packages of up to 16 MiB, UTF-8, without a document type. Why no parser of
our own: docs/decisions/0007-stix1.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from typing import Any, BinaryIO

import msgspec
from msgspec import Raw

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.formats.misp import MispReader
from threatshare.findings.formats.stix1_converter import Conversion, Converter, installed
from threatshare.findings.formats.stix1_document import Statement, statement_of
from threatshare.findings.records import SHOWN, file_time
from threatshare.model import Finding, Observation, Reject, Role

MAX_FILE = 16 * 1024 * 1024
"""Bytes."""

_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<").match
_PACKAGE = re.compile(rb"<(?:[\w.-]+:)?(?:STIX_Package|Observables)\b").search
_NAMESPACE = re.compile(rb"http://(?:stix\.mitre\.org/stix-1|cybox\.mitre\.org/cybox-2)\b").search

ADVICE = (
    "STIX 1.x XML is read through a converter that is not installed: pip install 'threatshare[stix1]', then ingest it "
    "again; or ask its sender for STIX 2.1"
)


class Stix1Reader:
    """Reads STIX 1.x packages where the converter is installed, and says how to install it where not."""

    name = "stix1"

    def __init__(self, converter: Converter | None = None) -> None:
        """``converter``: None: the one that is installed."""
        self._converter = converter

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the element of a package and its namespace."""
        return _XML(head) is not None and _PACKAGE(head) is not None and _NAMESPACE(head) is not None

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields what the MISP reader makes of the converted package, and Rejects that count what is not in it."""
        converter = self._converter or installed()
        if converter is None:
            yield Reject(place, ADVICE)
            return
        text = stream.read(MAX_FILE + 1)
        try:
            if len(text) > MAX_FILE:
                raise BadValue(f"STIX 1 package of more than {MAX_FILE} bytes")
            said = statement_of(text)
            conversion = converter.converted(text)
            event = _completed(conversion.event, said, file_time(stream), own)
        except BadValue as problem:
            yield Reject(place, str(problem), text[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN])
            return
        for one in MispReader().read(BytesIO(event), place, own):
            yield _as_stix1(one, place, said)
        if conversion.complaints:
            yield _left_out(place, conversion)
        if said.repeated:
            yield Reject(
                place,
                f"objects whose id another object bears too: {said.repeated}; misp-stix may have lost their values",
            )


def _completed(event: bytes, said: Statement, written_at: datetime, own: OwnAssets) -> bytes:
    """Adds to a MISP event what the converter left out: the maker, the marking, a time where there is none."""
    try:
        fields = msgspec.json.decode(event, type=dict[str, Raw])
        tags: list[Any] = msgspec.json.decode(fields.get("Tag", Raw(b"[]")), type=list[Any])
    except msgspec.MsgspecError as problem:
        raise BadValue(f"misp-stix wrote no MISP event that can be read: {problem}") from problem
    if said.tlp is not None:
        tags.append({"name": f"tlp:{said.tlp.label}"})
    maker = said.maker(own)
    # A maker that only the converter names (a package that MISP exported) stays, unless the package names another.
    if maker and not ("Orgc" in fields and own.is_us(maker)):
        fields["Orgc"] = Raw(msgspec.json.encode({"name": maker}))
    if not fields.keys() & {"timestamp", "date"}:
        fields["timestamp"] = Raw(msgspec.json.encode(int(written_at.timestamp())))
    fields["Tag"] = Raw(msgspec.json.encode(tags))
    return msgspec.json.encode(fields)


def _as_stix1(one: Finding | Reject, place: str, said: Statement) -> Finding | Reject:
    """Gives a result of the MISP reader its place in the package, and what is said of the whole to its values."""
    # The event begins on the first line of what was converted, which nobody has.
    where = place + one.place.removeprefix(f"{place}:1")
    if isinstance(one, Reject):
        return replace(one, place=where)
    return replace(
        one,
        sensor=Stix1Reader.name,
        place=where,
        observations=tuple(_held(seen, said) for seen in one.observations),
    )


def _held(seen: Observation, said: Statement) -> Observation:
    if said.held is None or not (seen.role.is_indicator or seen.role is Role.UNKNOWN):
        return seen
    return replace(seen, role=said.held.role, why=said.held.why)


def _left_out(place: str, conversion: Conversion) -> Reject:
    number = len(conversion.complaints)
    return Reject(
        place,
        f"misp-stix could not convert {number} record{'s' if number > 1 else ''} of the package",
        "; ".join(conversion.complaints)[:SHOWN],
    )
