"""STIX 2.0 and 2.1: bundles, also nested, TAXII envelopes, arrays, or one object a line; only indicators count.

Observables, observed data, malware and the rest assert nothing of a value. A pattern counts where each of its parts
suffices alone (``stix.patterns``); one that needs several together is no single value, and is kept aside. What its
producer revoked is passed over. When it was seen is ``valid_from``: this reader has no clock, and what has expired
since fades in the score by its age. Markings are read by their ids alone, and from labels, where MISP writes its tags;
who made an indicator is told by the id of the identity alone, because names are public.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec
from msgspec import Raw, Struct

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.authorship import held_for_author
from threatshare.findings.events import Event, Proposal, finding_of, overruled
from threatshare.findings.formats.columns import word
from threatshare.findings.formats.repetition import REPEATED, says_twice
from threatshare.findings.formats.table import ROLE_OF_KIND
from threatshare.findings.formats.tags import said_by
from threatshare.findings.records import SHOWN, Record, json_records
from threatshare.findings.roles import Ruling
from threatshare.model import Finding, Kind, Reject, Role
from threatshare.policy.markings import marking_of
from threatshare.stix.claims import speaks_stix
from threatshare.stix.exercise import TAGGED, defines_exercise
from threatshare.stix.marking_definitions import FIXED
from threatshare.stix.patterns import read_pattern
from threatshare.stix.received import Received, read_object
from threatshare.stix.timestamps import read_loose_time

MAX_BUNDLE = 32 * 1024 * 1024
"""Bytes of a bundle that has to be read as a whole: one a line, or nested; every object has at most 1 MiB."""

_NETWORK = frozenset({Kind.IPV4, Kind.IPV6, Kind.DOMAIN, Kind.URL})

_ROLE_OF_WORD: Mapping[str, Role] = {
    **dict.fromkeys("command_and_control c2 cnc c_c c2_server botnet_cc beacon callback exfiltration".split(), Role.C2),
    **dict.fromkeys(
        "delivery weaponization malware_download payload payload_delivery distribution".split(), Role.PAYLOAD
    ),
    **dict.fromkeys("reconnaissance scanner scanning brute_force".split(), Role.ATTACKER),
}
"""Phases of the kill chains of Lockheed Martin and MITRE ATT&CK, and words that producers use as labels and types; they
say what part addresses, names and URLs play: hashes and mail addresses have but one. The first in this order counts."""

_BENIGN = frozenset({"benign", "anomalous-activity"})
_NOT_MALICIOUS = frozenset({"anonymization", "attribution", "compromised", "unknown"})
"""Types that call a value neither malicious nor benign (STIX 2.1, indicator-type-ov)."""

_HARMLESS = Ruling(Role.THIRD_PARTY, "its STIX indicator types call it benign or merely unusual")
_CONTRADICTION = Ruling(
    Role.UNKNOWN, "its STIX indicator types call it benign and something else: its producer can tell; held"
)
_UNSAID = Ruling(
    Role.UNKNOWN,
    "its STIX indicator types (anonymization, attribution, compromised, unknown) do not say malicious; held",
)
_NO_ROLE = Ruling(Role.UNKNOWN, "a STIX indicator of a kind that has no part of its own, such as a MAC address; held")

_EXERCISE = Ruling(Role.UNKNOWN, TAGGED)
_COMPOUND = (
    "the pattern is no single address, name, URL, mail address or file hash; pull it as a feed (threatshare feed add), "
    "which keeps it whole"
)

_FIRST_ID = re.compile(rb'"id"\s*:\s*"([^"]*)"').search
_STIX_ID = re.compile(
    rb"[a-z][a-z0-9]*(?:-[a-z0-9]+)*--[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
).fullmatch
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]").match
_TYPED = re.compile(rb'"(?:type|objects|spec_version)"\s*:').search
_ATTACK = frozenset({"mitre-attack", "mitre-ics-attack", "mitre-mobile-attack"})
"""Sources of ATT&CK's ids; MITRE's other lists, such as ``mitre-f3``, number techniques alike."""
_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?").fullmatch


class _Glance(Struct):
    """What tells an object to be read from one to be passed over."""

    type: str | None = None
    id: str | None = None
    objects: Raw = Raw()
    """Of a bundle or envelope a list; STIX 2.0's observed data have a table of that name."""


class _Phase(Struct):
    phase_name: str | None = None


class _Phases(Struct):
    kill_chain_phases: list[_Phase] = []


_GLANCE = msgspec.json.Decoder(_Glance)
_OBJECTS = msgspec.json.Decoder(list[Raw])
_PHASES = msgspec.json.Decoder(_Phases)


class StixReader:
    """Reads the indicators of STIX 2.0 and 2.1."""

    name = "stix"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the form of the first id, ``type--uuid``, which no other format has."""
        found = _FIRST_ID(head)
        return (
            _JSON(head) is not None
            and found is not None
            and _STIX_ID(found[1]) is not None
            and _TYPED(head) is not None
        )

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each indicator of values; its place names its id."""
        reading = _Reading(own)
        for record in json_records(stream, place, {"objects"}, MAX_BUNDLE):
            if isinstance(record, Record):
                yield from reading.objects(record.text, f"{place}:{record.line}")
            else:
                yield record


@dataclass(frozen=True, slots=True)
class _Reading:
    """One file under way."""

    own: OwnAssets
    exercises: set[str] = field(default_factory=set)
    """Ids of the statement markings that the file defines as an exercise's."""

    def objects(self, raw: bytes | Raw, where: str) -> Iterator[Finding | Reject]:
        """Reads one object, or those of a bundle; bundles nest as deep as records may."""
        try:
            glance = _GLANCE.decode(raw)
            wraps = glance.type in (None, "bundle")
            inside = _OBJECTS.decode(glance.objects) if wraps and bytes(glance.objects) else []
        except (msgspec.MsgspecError, RecursionError) as problem:
            yield _refused(where, f"not readable: {problem}", raw)
            return
        if glance.type == "marking-definition":
            self._learn(bytes(raw))
        if inside:
            for one in inside:
                yield from self.objects(one, where)
        elif glance.type == "indicator":
            known = _STIX_ID((glance.id or "").encode("utf-8", "replace")) is not None
            yield from self._indicator(bytes(raw), f"{where} {glance.id}" if known else where)
        elif glance.type is None and not bytes(glance.objects):
            yield _refused(where, "no STIX object: it has no type", raw)

    def _learn(self, raw: bytes) -> None:
        """Notes a definition that says that what bears it is of an exercise; one that cannot be read says nothing."""
        try:
            read = read_object(raw)
        except BadValue:
            return
        if read.id not in FIXED and defines_exercise(raw, read):
            self.exercises.add(read.id)

    def _indicator(self, raw: bytes, where: str) -> Iterator[Finding | Reject]:
        try:
            read = read_object(raw)
            if says_twice(raw):
                raise BadValue(REPEATED)
            event = None if read.revoked else self._event(read, raw)
            finding = None if event is None else finding_of(event, StixReader.name, where, self.own)
        except BadValue as problem:
            yield _refused(where, str(problem), raw)
        else:
            if finding is not None:
                yield finding

    def _event(self, read: Received, raw: bytes) -> Event:
        if not speaks_stix(read):
            raise BadValue(f"a rule in the language {str(read.pattern_type)[:40]!r} is no value")
        observables = read_pattern(read.pattern or "")
        if any(one.kind is Kind.PATTERN for one in observables):
            raise BadValue(_COMPOUND)
        tagged = said_by((*read.labels, *read.indicator_types))
        marking = marking_of(read.marking_refs).joined(tagged.marking)
        said = _words(read, raw)
        proposals = [Proposal(one.kind, one.value, _ruling(read, said, one.kind)) for one in observables]
        held = tagged.verdict or held_for_author(read.created_by_ref or "", marking, self.own)
        if not self.exercises.isdisjoint(read.marking_refs):
            held = _EXERCISE
        return Event(
            title=read.name or "",
            seen_at=read_loose_time(read.valid_from or read.created or ""),
            proposals=proposals if held is None else overruled(proposals, held),
            confidence=read.confidence,
            techniques=tuple(_techniques(read)),
            tlp=marking.tlp,
        )


def _words(read: Received, raw: bytes) -> tuple[str, ...]:
    """Gives what labels, types and kill-chain phases say; phases of another shape than the standard's say nothing."""
    try:
        phases = [one.phase_name or "" for one in _PHASES.decode(raw).kill_chain_phases]
    except msgspec.MsgspecError:
        phases = []
    return tuple(word(one) for one in (*phases, *read.indicator_types, *read.labels))


def _ruling(read: Received, said: Iterable[str], kind: Kind) -> Ruling:
    # STIX 2.0 §2.5 says the indicator's types in its labels.
    types = {one.strip().lower() for one in read.indicator_types or read.labels}
    if types and types <= _BENIGN:
        return _HARMLESS
    if "benign" in types:
        return _CONTRADICTION
    if types and types <= _NOT_MALICIOUS | _BENIGN:
        return _UNSAID
    if kind in _NETWORK:
        found = next((name for name in _ROLE_OF_WORD if name in said), None)
        if found is not None:
            return Ruling(_ROLE_OF_WORD[found], f"a STIX indicator, of which a phase, type or label says {found}")
    role = ROLE_OF_KIND.get(kind)
    return _NO_ROLE if role is None else Ruling(role, "a STIX indicator, taken for what its kind of value is")


def _techniques(read: Received) -> Iterator[str]:
    for reference in read.external_references:
        name, number = reference.source_name or "", reference.external_id or ""
        if name in _ATTACK and _TECHNIQUE(number):
            yield number


def _refused(where: str, reason: str, raw: bytes | Raw) -> Reject:
    return Reject(where, reason, bytes(raw)[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN])
