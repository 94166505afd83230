"""What a STIX 1.x package says of all that it holds, read before a converter sees it.

A converter turns a package into values one by one. That each may be taken by itself, who made it and what may be done
with it stands around the values, and gets lost on the way (measured on misp-stix 2026.10.12: values under AND come out
one by one, the producer and unknown markings do not come out). So that is read here, of the package as a whole, the
most restrictive counting for every value.

The same pass keeps hostile XML from the converter's parser: no document type and no entity, 64 levels, UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.authorship import UNREADABLE
from threatshare.findings.roles import Ruling
from threatshare.model import Marking, Role, Tlp
from threatshare.stix.misp_tags import marking_of_tags

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_DEPTH = 64
"""Elements within each other."""

_IN_PARTS = Ruling(
    Role.UNKNOWN,
    "the STIX 1 package joins values by AND, negates, or asks for less than whole values, and the converter does not "
    "tell which: a person who reads the package would decide; held",
)
_MARKED_IN_PARTS = Ruling(
    Role.UNKNOWN,
    "the STIX 1 package marks parts of itself TLP:CLEAR or TLP:GREEN, not the whole of it, and the converter does not "
    "tell which: a person who reads the package would decide; held",
)

_LOGIC = frozenset({"Observable_Composition", "Composite_Indicator_Expression"})
"""Elements whose ``operator`` joins others (CybOX 2.1 core, STIX 1.2 indicator); without one, nothing is assumed."""
_ALONE: Mapping[str, frozenset[str]] = {
    "condition": frozenset({"Equals"}),
    "apply_condition": frozenset({"ANY"}),
    "negate": frozenset({"false", "0"}),
}
"""Attributes that restrict a value, and with what they leave it alone (CybOX 2.1, BaseObjectPropertyGroup)."""

_HEADER = ["STIX_Package", "STIX_Header", "Handling"]
"""Where a marking of the package stands."""
_EVERYTHING = re.compile(r"(?://|/descendant-or-self::|(?:\.\./){4,}descendant-or-self::)(?:node\(\)|\*)").fullmatch
"""XPaths of a ``Controlled_Structure`` in the header that reach everything in the package."""
_TLP_STRUCTURE = "TLPMarkingStructureType"
_AIS_STRUCTURE = "AISMarkingStructure"
_SIMPLE_STRUCTURE = "SimpleMarkingStructureType"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

_MAKERS = frozenset({"Information_Source", "Producer"})
"""Elements that name who made a package or a part of it."""
_UNNAMED = "(not named)"
_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)""").match
_UTF8 = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})
MAX_SAID = 500
"""Characters of a name or statement."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a package says of all that it holds."""

    makers: tuple[str, ...]
    """Names of who made it or parts of it, each once."""
    tlp: Tlp | None
    """The most restrictive label, wherever it stands; None: there is none."""
    held: Ruling | None
    """Why no value of it can be taken by itself; None where they can."""
    repeated: int
    """Objects that bear an id that another one bore before: a converter that files by id loses one of the two."""

    def maker(self, own: OwnAssets) -> str:
        """Names its maker, somebody else before ourselves; empty where it names none."""
        others = (one for one in self.makers if not own.is_us(one))
        return next(others, next(iter(self.makers), ""))


def statement_of(text: bytes) -> Statement:
    """Reads what a package says of itself; raises BadValue where it is no XML that may go to another parser."""
    # Untrusted XML: defusedxml refuses document types and entities.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    _check_encoding(text)
    reading = _Reading()
    try:
        for event, element in iterparse(BytesIO(text), ("start", "end"), forbid_dtd=True):
            if event == "start":
                reading.open(element)
            else:
                reading.close(element)
    except DefusedXmlException as problem:
        raise BadValue("has a document type or entities, which no STIX 1 package needs: not read") from problem
    except ParseError as problem:
        raise BadValue(f"no XML that can be read: {problem}") from problem
    return reading.statement()


def _check_encoding(text: bytes) -> None:
    """Takes UTF-8 only: two parsers could read two different documents out of bytes in rarer encodings."""
    declared = _ENCODING(text)
    if declared is not None and declared[1].lower() not in _UTF8:
        raise BadValue(f"declares the encoding {declared[1][:40].decode('ascii', 'replace')!r}: save it as UTF-8")
    if b"\0" in text:
        raise BadValue("no UTF-8, but perhaps UTF-16: save it as UTF-8")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise BadValue(f"no UTF-8 at byte {problem.start}: save it as UTF-8") from problem


@dataclass(slots=True)
class _Reading:
    """One package under way."""

    stack: list[Element] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """The local names of the elements that are open."""
    in_parts: bool = False
    makers: list[str] = field(default_factory=list)
    unnamed_from: list[int] = field(default_factory=list)
    """Of each maker's identity that is open: how many names there were before it."""
    covers: bool = False
    """Of the marking that is open: whether it reaches the whole package."""
    markings: list[Marking] = field(default_factory=list)
    """Of the marking that is open: what its structures say."""
    structure: str = ""
    """Of the marking structure that is open: its type."""
    unread_from: int = 0
    """And how many of the marking's structures were read before it."""
    ids: set[str] = field(default_factory=set)
    """Of objects."""
    repeated: int = 0
    whole: list[Marking] = field(default_factory=list)
    parts: list[Marking] = field(default_factory=list)

    def open(self, element: Element) -> None:
        """Takes note of an element that begins; raises BadValue where too many are open."""
        if len(self.stack) >= MAX_DEPTH:
            raise BadValue(f"elements more than {MAX_DEPTH} deep")
        name = _local(element.tag)
        self.in_parts = self.in_parts or _restricts(name, element)
        match name:
            case "Marking":
                self.covers, self.markings = False, []
            case "Marking_Structure":
                self.structure = element.get(_TYPE, "").rpartition(":")[2]
                self.unread_from = len(self.markings)
                if self.structure == _TLP_STRUCTURE:
                    self.markings.append(_labelled(element.get("color", "")))
            case "Object" if "id" in element.attrib:
                self.repeated += element.attrib["id"] in self.ids
                self.ids.add(element.attrib["id"])
            case "Is_Proprietary":
                self.markings.append(Marking(None, (name,)))
            case "Identity" if not _MAKERS.isdisjoint(self.names):
                self.unnamed_from.append(len(self.makers))
        self.stack.append(element)
        self.names.append(name)

    def close(self, element: Element) -> None:
        """Reads an element that is complete, and lets go of it."""
        self.stack.pop()
        name = self.names.pop()
        said = (element.text or "").strip()
        if self.unnamed_from:
            self._close_in_identity(name, said)
        match name:
            case "Controlled_Structure":
                paths = "".join(said.split()).split("|")
                self.covers = self.covers or any(_EVERYTHING(path) is not None for path in paths)
            case "Statement" if self.structure == _SIMPLE_STRUCTURE:
                marking = marking_of_tags((said,))
                self.markings.append(marking if marking.tlp is not None else Marking(None, (said[:MAX_SAID],)))
            case "TLPMarking" if self.structure == _AIS_STRUCTURE and self._is_free_of_property():
                self.markings.append(_labelled(element.get("color", "")))
            case "Marking_Structure":
                if len(self.markings) == self.unread_from:
                    self.markings.append(Marking(None, (self.structure,)))
                self.structure = ""
            case "Marking":
                (self.whole if self.covers and self.names == _HEADER else self.parts).extend(self.markings)
        if self.stack:
            self.stack[-1].remove(element)

    def _is_free_of_property(self) -> bool:
        """Tells of an AIS marking whether it says that the content is nobody's property."""
        above = self.stack[-1]
        return self.names[-1] == "Not_Proprietary" and above.get("CISA_Proprietary", "").lower() in ("false", "0")

    def _close_in_identity(self, name: str, said: str) -> None:
        is_name = (name == "Name" and self.names[-1] == "Identity") or (
            name == "NameElement" and self.names[-1] == "OrganisationName"
        )
        if is_name and said:
            self.makers.append(said[:MAX_SAID])
        elif name == "Identity" and len(self.makers) == self.unnamed_from.pop():
            self.makers.append(_UNNAMED)

    def statement(self) -> Statement:
        """Sums up: what restricts counts wherever it stands, what permits only where it is said of the whole."""
        everywhere = self.whole + self.parts
        tlp = max((one.tlp for one in everywhere if one.tlp is not None), default=None)
        permits = tlp in (Tlp.CLEAR, Tlp.GREEN)
        held = None
        if any(one.unknown for one in everywhere):
            held = UNREADABLE
        elif self.in_parts:
            held = _IN_PARTS
        elif permits and not any(one.tlp is not None for one in self.whole):
            held = _MARKED_IN_PARTS
        return Statement(tuple(dict.fromkeys(self.makers)), tlp, held, self.repeated)


def _restricts(name: str, element: Element) -> bool:
    """Tells whether an element leaves the values in it less than whole, or not standing alone."""
    if name in _LOGIC and element.get("operator", "").upper() != "OR":
        return True
    return any(value not in _ALONE[key] for key, value in element.items() if key in _ALONE)


def _labelled(colour: str) -> Marking:
    return marking_of_tags((f"tlp:{colour}",))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
