"""What a profile is held against: the objects of one file, read within limits, and what a node adds to judge them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal

import msgspec
from msgspec import Raw

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.model import Kind, Observable
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import read_object, split_envelope
from threatshare.stix.tlp import TLP_IDS

MAX_FILE = 64 * 1024 * 1024
"""Bytes: the objects of a file are held in memory, since they are looked at together."""
_WRAPPER = frozenset({"type", "id", "spec_version", "objects", "more", "next"})
"""Properties of a bundle (STIX 2.0 and 2.1) or TAXII envelope."""
_QUOTED = re.compile(r"(['\"]).*\1", re.DOTALL)

_read = msgspec.json.Decoder(dict[str, Any]).decode
_read_wrapper = msgspec.json.Decoder(dict[str, Raw]).decode
_read_list = msgspec.json.Decoder(list[Raw]).decode
_read_text = msgspec.json.Decoder(str).decode

RecordKind = Literal["agreement", "legal-basis", "certificate"]


@dataclass(frozen=True, slots=True)
class Member:
    """One object of a file."""

    place: str
    """Where it stands: a JSON pointer such as ``/objects/3``, or ``line 4``."""
    content: Mapping[str, Any]
    observables: tuple[Observable, ...] = ()
    """What its pattern names; a pattern that cannot be read is one opaque value."""

    @property
    def id(self) -> str:
        """The STIX id."""
        return str(self.content.get("id", ""))

    @property
    def type(self) -> str:
        """The STIX type."""
        return str(self.content.get("type", ""))

    @property
    def labels(self) -> list[str]:
        """Its labels."""
        return texts(self.content.get("labels"))


@dataclass(frozen=True)
class Bundle:
    """The objects of one file."""

    members: tuple[Member, ...] = ()
    broken: tuple[tuple[str, str], ...] = ()
    """Place and reason of each object that cannot be read; the reason repeats nothing of the object."""
    id: str = ""
    """The bundle's own id, if it has one."""
    foreign: int = 0
    """Properties of the bundle itself that neither a bundle nor an envelope has."""
    searched: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)
    """What searches of members have found so far: several rules ask for the same."""

    @cached_property
    def submitters(self) -> tuple[Member, ...]:
        """The Identities that stand as creator of something, the most frequent first; if none does, all there are."""
        makers = Counter(str(one.content.get("created_by_ref")) for one in self.members)
        identities = [one for one in self.members if one.type == "identity"]
        named = [one for one in identities if one.id in makers]
        return tuple(sorted(named or identities, key=lambda one: (-makers[one.id], one.id)))


@dataclass(frozen=True, slots=True)
class Record:
    """One dated ground of an exchange."""

    name: str
    begins: date | None = None
    ends: date | None = None
    """Its last day; None: open-ended."""


@dataclass(frozen=True)
class NodeFacts:
    """What a node knows that a file does not say; what is missing here is told as not checked."""

    own: OwnAssets | None = None
    """What is ours."""
    identity: str = ""
    """The id of our Identity."""
    name: str = ""
    """Our name."""
    consent: str = ""
    """The consent label under which we submit, where the file has no Identity that says so."""
    today: date | None = None
    records: Mapping[RecordKind, tuple[Record, ...]] = field(default_factory=dict)
    """By kind; a kind that is missing was not looked up, one without records has none."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One place where a check found something."""

    member: Member | None
    """None: the file as a whole."""
    pointer: str
    """JSON pointer within the object (RFC 6901)."""
    found: str
    """What is wrong, without any value that may be private."""
    mend: str
    """What would mend it."""
    doubtful: bool = False
    """Whether it goes by form alone, so that a person may see that nothing is wrong: it queues where others block."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Something that a check could not look at."""

    why: str


def texts(value: object) -> list[str]:
    """Gives the texts of a list property; anything may stand there."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def is_tlp_definition(member: Member) -> bool:
    """Tells whether an object bears the id of a TLP marking definition; its body is nobody's to change."""
    return member.id in TLP_IDS


def read_bundle(data: bytes) -> Bundle:
    """Reads a bundle, a TAXII envelope, an array of objects, one object, or one object a line. Never raises.

    What cannot be read is among ``broken``: a single object, or the whole file where nothing can.
    """
    if len(data) > MAX_FILE:
        return Bundle(broken=(("", f"the file has more than {MAX_FILE} bytes; check it in parts"),))
    try:
        placed, bundle_id, foreign = _objects(data.strip())
    except (msgspec.DecodeError, BadValue, RecursionError) as problem:
        return Bundle(broken=(("", f"the file cannot be read: {_without_values(str(problem))}"),))
    members: list[Member] = []
    broken: list[tuple[str, str]] = []
    for place, raw in placed:
        try:
            members.append(member_of(place, raw))
        except BadValue as problem:
            broken.append((place, _without_values(str(problem))))
    return Bundle(tuple(members), tuple(broken), bundle_id, foreign)


def member_of(place: str, raw: bytes) -> Member:
    """Reads one object; raises BadValue where a limit, the form of STIX or plain JSON is broken."""
    read_object(raw)
    if _says_twice(raw):
        raise BadValue("a property stands there twice, and readers differ on which one counts")
    content = _read(raw)
    return Member(place, content, observables_of(content))


def observables_of(content: Mapping[str, Any]) -> tuple[Observable, ...]:
    """Gives what an object's pattern names; one opaque value where it is no STIX pattern that can be read."""
    pattern = content.get("pattern")
    if not isinstance(pattern, str) or not pattern:
        return ()
    try:
        if content.get("pattern_type", "stix") == "stix":
            return read_pattern(pattern)
    except BadValue:
        # What cannot be taken apart is searched as text.
        return (Observable(Kind.PATTERN, pattern),)
    return (Observable(Kind.PATTERN, pattern),)


def _objects(data: bytes) -> tuple[Iterator[tuple[str, bytes]], str, int]:
    if data.startswith(b"["):
        return _numbered("", map(bytes, _read_list(data))), "", 0
    head, _, rest = data.partition(b"\n")
    if rest and _is_object(head):
        lines = enumerate(data.splitlines(), 1)
        return ((f"line {number}", line) for number, line in lines if line.strip()), "", 0
    try:
        wrapper = _read_wrapper(data)
    except (msgspec.DecodeError, RecursionError):
        # One object that cannot be decoded does not spoil the file; and what is no JSON is said there.
        return _numbered("/objects", split_envelope(data)[0]), "", 0
    if "objects" in wrapper or bytes(wrapper.get("type", b"")) == b'"bundle"':
        foreign = len(wrapper.keys() - _WRAPPER)
        return _numbered("/objects", split_envelope(data)[0]), _text(wrapper.get("id")), foreign
    return iter([("", data)]), "", 0


def _numbered(where: str, raws: Any) -> Iterator[tuple[str, bytes]]:
    return ((f"{where}/{number}", raw) for number, raw in enumerate(raws))


def _is_object(line: bytes) -> bool:
    try:
        _read_wrapper(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _text(raw: Raw | None) -> str:
    try:
        return _read_text(raw) if raw is not None else ""
    except msgspec.DecodeError:
        return ""


def _says_twice(raw: bytes) -> bool:
    found = False

    def pairs(given: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({name for name, _ in given}) < len(given)

    json.loads(raw, object_pairs_hook=pairs)
    return found


def _without_values(reason: str) -> str:
    """Leaves out what a reason quotes of the object."""
    return _QUOTED.sub("(left out)", reason)
