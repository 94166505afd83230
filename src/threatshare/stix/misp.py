"""MISP events as STIX objects: what a MISP feed says, in the form in which everything that comes in is kept.

    event                     report--UUID, which names what follows; identity--UUID of its ``Orgc``
    attribute with to_ids     indicator--UUID, if it is of a type in ``PARTS``
    any other attribute       x-misp-attribute--UUID, which claims nothing

Each keeps the attribute as it came in ``x_misp_attribute``. The ids are the UUIDs of MISP, as in its own export to
STIX. ``modified`` is the attribute's timestamp, plus a millisecond for each step that its TLP is more restrictive: MISP
marks events without touching their attributes, and a stricter marking has to be a later version.

Types and fields are those of the MISP core format (misp-project.org/datamodels).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import uuid5

import msgspec
from msgspec import Raw, Struct

from threatshare.errors import BadValue
from threatshare.model import Kind, Micros, Observable, Reject, Tlp
from threatshare.stix.misp_tags import NAMELESS, confidence_of_tags, marking_of_tags, techniques_of_tags
from threatshare.stix.objects import NAMESPACE
from threatshare.stix.observables import canonical, refang
from threatshare.stix.patterns import pattern_of
from threatshare.stix.received import MAX_OBJECT
from threatshare.stix.timestamps import write_timestamp
from threatshare.stix.tlp import TLP2_ID

_IP = (Kind.IPV4, Kind.IPV6)
_HASHES = {"md5": Kind.MD5, "sha1": Kind.SHA1, "sha256": Kind.SHA256, "sha512": Kind.SHA512}
_DOMAIN, _URL, _EMAIL = (Kind.DOMAIN,), (Kind.URL,), (Kind.EMAIL,)

PARTS: Mapping[str, tuple[tuple[Kind, ...] | None, ...]] = {
    "ip-src": (_IP,),
    "ip-dst": (_IP,),
    "ip-src|port": (_IP, None),
    "ip-dst|port": (_IP, None),
    "domain": (_DOMAIN,),
    "hostname": (_DOMAIN,),
    "hostname|port": (_DOMAIN, None),
    "domain|ip": (_DOMAIN, _IP),
    "url": (_URL,),
    "email": (_EMAIL,),
    "email-src": (_EMAIL,),
    "email-reply-to": (_EMAIL,),
    "email-dst": (_EMAIL,),
    "target-email": (_EMAIL,),
    **{name: ((kind,),) for name, kind in _HASHES.items()},
    **{f"filename|{name}": (None, (kind,)) for name, kind in _HASHES.items()},
    "malware-sample": (None, (Kind.MD5,)),
}
"""Attribute types whose values we know, by the parts that ``|`` divides them into; None: a part that is no value."""

_OF_VICTIMS = frozenset({"email-dst", "target-email"})
_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_MOST_TAGS = 90
"""Of one attribute with its event: an object has 100 labels at most."""
_MOST_REFS = 10_000
_MOST_EVENTS = 10_000
"""Of one text."""
_MOST_REFUSED = 100_000
"""Attributes of one event that are kept aside; the rest of an event of more is left out."""
_MOST_OBJECTS = 200_000
"""Of one event."""
_MOST_TAG_TEXT = 65_536
"""Bytes of an event's tags."""
_MILLISECOND: Micros = 1_000
_SECOND: Micros = 1_000_000
_TRUE = frozenset({"1", "true"})
_NOTHING = Raw(b"[]")
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+[{}\[\]]', re.DOTALL).match
"""Up to and with the next bracket that is not inside a string."""
_OPENING = b"{["
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class _Tag(Struct):
    name: str | None = None


class _Organisation(Struct):
    name: str | None = None
    uuid: str | None = None


class _Attribute(Struct):
    uuid: str | None = None
    type: str = ""
    value: str = ""
    to_ids: Any = None
    timestamp: Any = None
    deleted: Any = None
    Tag: list[_Tag] = []


class _Object(Struct):
    Attribute: Raw = _NOTHING
    deleted: Any = None


class Event(Struct):
    """The fields of an event that count; lists are left as text, since a small text may hold millions of parts."""

    uuid: str | None = None
    info: str = ""
    timestamp: Any = None
    Orgc: _Organisation | None = None
    Tag: Raw = _NOTHING
    Attribute: Raw = _NOTHING
    Object: Raw = _NOTHING


class _Whole(Event):
    """An event, or what MISP wraps it in."""

    Event: Event | None = None
    response: Raw = _NOTHING


_whole = msgspec.json.Decoder(_Whole)
_tags = msgspec.json.Decoder(list[_Tag])
_object_part = msgspec.json.Decoder(_Object)
_checked = msgspec.json.Decoder(Raw)
_attribute = msgspec.json.Decoder(_Attribute)
_write = msgspec.json.Encoder().encode


def events_of(text: bytes) -> list[Event]:
    """Reads the events of a text: one, alone or under ``Event``, several in an array, or a ``response`` of MISP's.

    Raises BadValue where it holds none, or one without a UUID.
    """
    try:
        if text.lstrip()[:1] == b"[":
            events = list(_several(_checked.decode(text)))
        else:
            whole = _whole.decode(text)
            events = list(_several(whole.response)) or [_one(whole)]
    except _UNREADABLE as problem:
        raise BadValue(f"no MISP event: {problem}") from problem
    if not events:
        raise BadValue("no MISP event: an empty array")
    return events


def _several(array: bytes | Raw) -> Iterator[Event]:
    for number, part in enumerate(parts_of(array)):
        if number == _MOST_EVENTS:
            raise BadValue(f"more than {_MOST_EVENTS} MISP events in one text")
        yield _one(_whole.decode(part))


def _one(whole: _Whole) -> Event:
    event = whole.Event or whole
    if event.uuid is None or _UUID(event.uuid.lower()) is None:
        raise BadValue("no MISP event: it has no uuid")
    if len(bytes(event.Tag)) > _MOST_TAG_TEXT:
        raise BadValue(f"a MISP event with {len(bytes(event.Tag))} bytes of tags; at most {_MOST_TAG_TEXT} are taken")
    return event


def parts_of(whole: bytes | Raw) -> Iterator[bytes]:
    """Yields the arrays and objects right within an array or object that is whole JSON, one at a time."""
    return (part for _, part in _walk(bytes(whole)) if part)


def _walk(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields what stands before each array or object right within an array or object, and that; nothing at the end."""
    at = depth = start = last = 0
    while (bracket := _TO_BRACKET(text, at)) is not None:
        at = bracket.end()
        if text[at - 1] in _OPENING:
            depth += 1
            if depth == 1:
                last = at
            elif depth == 2:
                start = at - 1
        else:
            depth -= 1
            if depth == 1:
                yield text[last:start], text[start:at]
                last = at
            elif depth == 0:
                yield text[last : at - 1], b""


def _elements_of(array: bytes | Raw) -> Iterator[bytes]:
    """Yields the elements of an array one at a time; what is neither array nor object, several in one."""
    for before, part in _walk(bytes(array)):
        if stray := before.strip(b", \t\r\n"):
            yield stray
        if part:
            yield part


def objects_of(event: Event) -> Iterator[bytes | Reject]:
    """Yields the STIX objects of an event, its report last; an attribute that cannot be read is kept aside."""
    try:
        tags = _names(_tags.decode(event.Tag))
    except _UNREADABLE as problem:
        yield Reject(f"event {event.uuid}", f"tags that cannot be read: {problem}")
        return
    maker = _maker(event)
    if maker is not None:
        yield _write(maker)
    by = maker["id"] if maker is not None else None
    named: list[str] = []
    refused = 0
    for raw in _attributes(event):
        if isinstance(raw, Reject):
            yield raw
            continue
        try:
            made = _object(raw, tags, by)
        except BadValue as problem:
            refused += 1
            if refused > _MOST_REFUSED:
                yield Reject(
                    f"event {event.uuid}", f"{_MOST_REFUSED} of its attributes cannot be read; others left out"
                )
                break
            yield Reject(f"event {event.uuid}", str(problem), raw[:65_536].decode(errors="replace"))
            continue
        if len(named) < _MOST_REFS:
            named.append(made["id"])
        yield _write(made)
    try:
        if named:
            yield _write(_report(event, tags, by, named))
    except BadValue as problem:
        yield Reject(f"event {event.uuid}", str(problem))


def _attributes(event: Event) -> Iterator[bytes | Reject]:
    yield from _elements_of(event.Attribute)
    for number, part in enumerate(_elements_of(event.Object)):
        if number == _MOST_OBJECTS:
            yield Reject(f"event {event.uuid}", f"more than {_MOST_OBJECTS} objects; others left out")
            return
        try:
            one = _object_part.decode(part)
        except _UNREADABLE:
            # Kept aside as the attribute that it is not.
            yield part
            continue
        if not _set(one.deleted):
            yield from _elements_of(one.Attribute)


def _object(raw: bytes, event_tags: list[str], by: str | None) -> dict[str, Any]:
    if len(raw) > MAX_OBJECT:
        raise BadValue(f"a MISP attribute of {len(raw)} bytes, at most {MAX_OBJECT} are taken")
    try:
        read = _attribute.decode(raw)
    except _UNREADABLE as problem:
        raise BadValue(f"no MISP attribute: {problem}") from problem
    if read.uuid is None or _UUID(read.uuid.lower()) is None:
        raise BadValue("a MISP attribute without a uuid")
    at = _seconds(read.timestamp)
    tags = [*event_tags, *_names(read.Tag)]
    if len(tags) > _MOST_TAGS:
        raise BadValue(f"a MISP attribute with {len(tags)} tags; at most {_MOST_TAGS} are taken")
    claims = _set(read.to_ids) and read.type in PARTS and read.type not in _OF_VICTIMS
    pattern = " OR ".join(pattern_of(one) for one in _values(read)) if claims else None
    kind = "x-misp-attribute" if pattern is None else "indicator"
    said = _said(tuple(tags))
    told: dict[str, Any] = {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{read.uuid.lower()}",
        "created_by_ref": by,
        "created": write_timestamp(at, 3),
        "modified": write_timestamp(at + said.step * _MILLISECOND, 3),
        "revoked": _set(read.deleted) or None,
        "labels": tags or None,
        "confidence": said.confidence,
        "object_marking_refs": said.refs or None,
        "x_misp_attribute": Raw(raw),
    }
    if pattern is not None:
        told |= {"pattern": pattern, "pattern_type": "stix", "valid_from": write_timestamp(at, 3)}
        told |= {"indicator_types": ["malicious-activity"], "external_references": said.techniques or None}
    return {name: value for name, value in told.items() if value is not None}


def _values(read: _Attribute) -> list[Observable]:
    parts = PARTS[read.type]
    # A file name may hold a bar, a hash or port never does.
    said = (read.value,) if len(parts) == 1 else read.value.rpartition("|")[::2]
    if len(said) != len(parts) or not all(said):
        raise BadValue(f"{read.value[:60]!r} has no {len(parts)} parts divided by |, as {read.type} has")
    return [_value(text, kinds) for text, kinds in zip(said, parts, strict=True) if kinds is not None]


def _value(text: str, kinds: tuple[Kind, ...]) -> Observable:
    plain = refang(text)
    kind = Kind.IPV6 if kinds == _IP and ":" in plain else kinds[0]
    return canonical(kind, plain)


class _Said(NamedTuple):
    """What a set of tags says."""

    refs: list[str]
    step: int
    """How many steps more restrictive the markings are than none."""
    confidence: int | None
    techniques: list[dict[str, str]]


# An event's attributes bear few sets of tags, and reading one takes longer than all else of an attribute.
@lru_cache(maxsize=4_096)
def _said(tags: tuple[str, ...]) -> _Said:
    marking = marking_of_tags(tags)
    refs = [] if marking.tlp is None else [TLP2_ID[marking.tlp]]
    # A restriction that we cannot read becomes a marking that nobody can read: nothing that bears it goes on.
    refs += [f"marking-definition--{uuid5(NAMESPACE, f'misp|{tag}')}" for tag in marking.unknown]
    step = (0 if marking.tlp is None else int(marking.tlp) + 1) + (len(Tlp) + 1 if marking.unknown else 0)
    techniques = [{"source_name": "mitre-attack", "external_id": one} for one in techniques_of_tags(tags)]
    return _Said(refs, step, confidence_of_tags(tags), techniques)


def _report(event: Event, tags: list[str], by: str | None, named: list[str]) -> dict[str, Any]:
    at = _seconds(event.timestamp)
    said = _said(tuple(tags))
    told: dict[str, Any] = {
        "type": "report",
        "spec_version": "2.1",
        "id": f"report--{str(event.uuid).lower()}",
        "created_by_ref": by,
        "created": write_timestamp(at, 3),
        "modified": write_timestamp(at + said.step * _MILLISECOND, 3),
        "name": event.info or "MISP event",
        "published": write_timestamp(at, 3),
        "object_refs": named,
        "labels": tags[:_MOST_TAGS] or None,
        "object_marking_refs": said.refs or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _maker(event: Event) -> dict[str, Any] | None:
    maker = event.Orgc
    if maker is None or maker.uuid is None or _UUID(maker.uuid.lower()) is None:
        return None
    began = write_timestamp(0, 3)
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--{maker.uuid.lower()}",
        "created": began,
        "modified": began,
        "name": maker.name or "a MISP organisation",
        "identity_class": "organization",
    }


def _names(tags: list[_Tag]) -> list[str]:
    return [one.name if one.name else NAMELESS for one in tags]


def _seconds(said: Any) -> Micros:
    text = str(said) if isinstance(said, (str, int)) and not isinstance(said, bool) else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 11):
        raise BadValue(f"timestamp {str(said)[:40]!r} is no number of seconds since 1970")
    return int(text) * _SECOND


def _set(said: Any) -> bool:
    """Tells whether a flag is set, which MISP writes as true, 1 or "1"."""
    return said is True or (isinstance(said, (int, str)) and str(said).lower() in _TRUE)
