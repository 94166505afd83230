"""AWS GuardDuty findings: the type says what happened, the resource's role says who did it.

Types and fields: GuardDuty User Guide ("Finding types", "Finding details") and API reference (Finding, Service). Seen
in published records: network, DNS, port probe, Kubernetes and runtime findings; unverified: RDS logins, malware scans
and attack sequences. Severity is how bad it would be, not how sure it is: no confidence is taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import msgspec

from threatshare.config import OwnAssets
from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, inner, inners, moment, number, text, texts
from threatshare.findings.events import Event, LookUp, Proposal, first_documents, json_findings
from threatshare.findings.formats.aws_events import (
    MEMBERS,
    RESOURCE,
    Remote,
    Way,
    address,
    is_event,
    is_true,
    local_ends,
    remotes,
    unwrapped,
)
from threatshare.findings.roles import Ruling
from threatshare.model import Finding, Kind, Reject, Role

_DETAIL_TYPES = frozenset({"GuardDuty Finding"})

_ATTACKER = Ruling(Role.ATTACKER, "GuardDuty names our resource as its target")
_C2 = Ruling(Role.C2, "our resource, which acted, connected to it or asked for it")
_VICTIM = Ruling(Role.THIRD_PARTY, "our resource acted against it: a victim, not an attacker")
_TOR = Ruling(Role.THIRD_PARTY, "a node of the Tor network, which belongs to nobody in this attack")
_HOLE = Ruling(Role.THIRD_PARTY, "a black hole: traffic to it is discarded, it is not the attacker's machine")
_LURE = Ruling(Role.PAYLOAD, "our resource asked for a host of phishing or drive-by downloads")
_THIEF = Ruling(Role.ATTACKER, "used the credentials of an instance of ours from outside AWS")
_LISTED = Ruling(Role.KNOWN_INDICATOR, "GuardDuty found it on a threat list")
_UNUSUAL = Ruling(Role.UNKNOWN, "unusual, which is not malicious: whether the traffic is expected would decide; held")
_CALLER = Ruling(
    Role.UNKNOWN, "called an interface of ours: whether it was one of us or an intruder would decide; held"
)
_OPEN = Ruling(Role.UNKNOWN, "the finding names neither the resource's role nor a direction, which would decide; held")
_LOW_REPUTATION = Ruling(
    Role.UNKNOWN, "a new, rarely asked or often abused domain: what answers there would decide; held"
)
_ARCHIVED = Ruling(
    Role.UNKNOWN,
    "the finding is archived: by a person who dealt with it, or by a suppression rule because it is expected; "
    "which of the two would decide; held",
)
_SEQUENCE = Ruling(Role.UNKNOWN, "an endpoint of an attack sequence: the signal that it belongs to would decide; held")
_MALWARE = Ruling(Role.PAYLOAD, "a file that the malware scan found infected")
_TEST = Ruling(Role.THIRD_PARTY, "a domain that AWS keeps for testing GuardDuty")
_TEST_FILE = Ruling(Role.THIRD_PARTY, "the EICAR test file")
_MINER = Ruling(Role.PAYLOAD, "the program that GuardDuty calls a cryptocurrency miner")
_PROCESS = Ruling(Role.UNKNOWN, "a program that took part, perhaps one of the system; a person can decide; held")


class _Type(NamedTuple):
    """What a family of types says of the other end."""

    pattern: str
    """As in ``fnmatch``; the first that matches counts."""
    acted: Ruling
    """Where our resource was the actor."""
    targeted: Ruling
    """Where it was the target."""


def _either(pattern: str, ruling: Ruling) -> _Type:
    return _Type(pattern, ruling, ruling)


_TYPES: tuple[_Type, ...] = (
    _either("*/TorClient*", _TOR),
    _either("*/TorRelay*", _TOR),
    _either("*/TorIPCaller*", _TOR),
    _Type("*DenialOfService*", _VICTIM, _ATTACKER),
    _Type("*BruteForce*", _VICTIM, _ATTACKER),
    _Type("*/PortSweep*", _VICTIM, _ATTACKER),
    _Type("*/MassIPScan*", _VICTIM, _ATTACKER),
    _Type("*/Portscan*", _VICTIM, _ATTACKER),
    # A mail server that our instance spams.
    _Type("*/Spambot*", _VICTIM, _ATTACKER),
    _either("*/MaliciousIPCaller*", _LISTED),
    # Threat lists that the customer, we, put in.
    _either("*.Custom", _LISTED),
    _either("*/BlackholeTraffic", _HOLE),
    _either("*/PhishingDomainRequest*", _LURE),
    _either("*/DriveBySourceTraffic*", _LURE),
    _either("*/SuspiciousDomainRequest*", _LOW_REPUTATION),
    _either("*/AbusedDomainRequest*", _LOW_REPUTATION),
    _either("*/InstanceCredentialExfiltration.OutsideAWS", _THIEF),
    _either("*/MetadataDNSRebind*", _UNUSUAL),
    _either("*/Unusual*", _UNUSUAL),
    _either("*.Unusual", _UNUSUAL),
    _either("Behavior:*", _UNUSUAL),
)
"""Types not named here go by way and role: a target's other end is an attacker, an actor's is a C2 server, and who
called an interface of ours is held: anomalies, logins and tools of penetration testers may be our own people's."""

_FORM = re.compile(r"[A-Za-z]+:[A-Za-z0-9]+/\S").match
"""``ThreatPurpose:ResourceTypeAffected/ThreatFamilyName...`` ("GuardDuty finding format")."""
_OWN_KEYS = frozenset({"action", "detectorId", "eventFirstSeen", "resourceRole", "serviceName"})
"""Members of ``service``, each of which most findings have."""

_POSTURE = "Policy:"
"""Types of this purpose speak of our own configuration."""

_SCANNED: Mapping[int, Kind] = {32: Kind.MD5, 40: Kind.SHA1, 64: Kind.SHA256, 128: Kind.SHA512}
"""By length: the API reference does not say of which algorithm the ``hash`` of a scanned file is."""

_SEQUENCE_KEYS: Mapping[str, Ruling] = {"MALICIOUS_IP": _LISTED, "MALICIOUS_DOMAIN": _LISTED, "TOR_IP": _TOR}
"""``sequenceIndicators[].key`` whose values are observables (API reference, Indicator; the domain is unverified)."""

_TEST_DOMAINS = frozenset({"guarddutyc2activityb.com"})
"""User Guide, Backdoor:EC2/C&CActivity.B!DNS."""

_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?").search


class GuardDutyReader:
    """Reads GuardDuty findings from the API, EventBridge or an S3 export."""

    name = "guardduty"

    def recognises(self, head: bytes, filename: str) -> bool:
        """Tells by the type and service that findings have themselves, not inside another tool's record."""
        if b'"service"' not in head and b'"Service"' not in head:
            return False
        documents = first_documents(head, _within, MEMBERS)
        if not documents:
            return is_event(head, _DETAIL_TYPES)
        return any(_FORM(text(doc, "type")) and _OWN_KEYS & inner(doc, "service").keys() for doc in documents)

    def read(self, stream: BinaryIO, place: str, own: OwnAssets) -> Iterator[Finding | Reject]:
        """Yields a finding for each that names a value; samples and what an analyst found useless yield nothing."""
        return json_findings(stream, place, own, self.name, event_of, MEMBERS, within=_within)


def _within(record: Doc) -> Iterator[Doc]:
    return unwrapped(record, _DETAIL_TYPES)


def event_of(doc: Doc, look_up: LookUp) -> Event | None:
    """Maps one finding with keys in camel case; None for samples, posture and what was marked as not useful."""
    kind, service = text(doc, "type"), inner(doc, "service")
    if not kind or not service:
        raise BadValue("no GuardDuty finding: it has no type or no service")
    info = _additional(service)
    if kind.startswith(_POSTURE) or is_true(info.get("sample")) or text(doc, "title").startswith("[SAMPLE]"):
        return None
    if text(service, "userFeedback") == "NOT_USEFUL":
        return None
    proposals = list(_proposals(kind, service, inner(doc, "resource"), info))
    return Event(
        title=kind,
        seen_at=moment(service, "eventFirstSeen") or moment(doc, "createdAt"),
        last_seen_at=moment(service, "eventLastSeen") or moment(doc, "updatedAt"),
        proposals=_archived(proposals) if is_true(service.get("archived")) else proposals,
        techniques=tuple(_techniques(service)),
        count=number(service, "count") or 1,
    )


def _additional(service: Doc) -> Doc:
    """Gives ``additionalInfo``: exports hold its members, the API and some imports only their JSON text."""
    info = inner(service, "additionalInfo")
    told = text(info, "value") or text(service, "additionalInfo") or "{}"
    try:
        return {**msgspec.json.decode(told, type=Doc), **info}
    except (msgspec.MsgspecError, RecursionError):
        return info


def _proposals(kind: str, service: Doc, resource: Doc, info: Doc) -> Iterator[Proposal]:
    intelligence = inners(service, "evidence", "threatIntelligenceDetails")
    listed = bool(intelligence or text(info, "threatListName"))
    action = inner(service, "action")
    for remote in remotes(action):
        ruling = _ruling(kind, text(service, "resourceRole").upper(), remote)
        if remote.value.lower().rstrip(".") in _TEST_DOMAINS:
            ruling = _TEST
        elif listed and (ruling.role.is_indicator or ruling.role is Role.UNKNOWN):
            ruling = _LISTED
        yield remote.proposed(ruling)
    yield from local_ends(action)
    yield from _ours(resource)
    for one in intelligence:
        yield Proposal(Kind.SHA256, text(one, "threatFileSha256"), _LISTED)
    yield from _scanned(service, resource)
    yield from _processes(kind, inner(service, "runtimeDetails"))
    yield from _sequence(inner(service, "detection", "sequence"))


def _ruling(kind: str, role: str, remote: Remote) -> Ruling:
    """Rules on the other end; runtime findings have no role, and a name is always asked for by our side."""
    acted: bool | None = None
    if remote.way is Way.ASKED or role == "ACTOR":
        acted = True
    elif role == "TARGET" or remote.way in (Way.CAME_IN, Way.CALLED):
        acted = False
    elif remote.way is Way.WENT_OUT:
        acted = True
    family = _family(kind)
    if family is not None:
        if acted is None:
            return family.acted if family.acted is family.targeted else _OPEN
        return family.acted if acted else family.targeted
    if remote.way is Way.CALLED:
        return _CALLER
    return _OPEN if acted is None else _C2 if acted else _ATTACKER


@lru_cache(maxsize=512)
def _family(kind: str) -> _Type | None:
    return next((one for one in _TYPES if fnmatchcase(kind, one.pattern)), None)


def _ours(resource: Doc) -> Iterator[Proposal]:
    """Yields the addresses and names of the resource, so that none of them counts as the other end."""
    for interface in inners(resource, "instanceDetails", "networkInterfaces"):
        addresses = [text(one, "privateIpAddress") for one in inners(interface, "privateIpAddresses")]
        addresses += [text(interface, "publicIp"), text(interface, "privateIpAddress")]
        for one in addresses + texts(interface, "ipv6Addresses"):
            yield address(one, RESOURCE)
        yield Proposal(Kind.DOMAIN, text(interface, "publicDnsName"), RESOURCE)


def _scanned(service: Doc, resource: Doc) -> Iterator[Proposal]:
    """Yields the hashes of infected files; their paths and names are never read."""
    volumes = inner(service, "ebsVolumeScanDetails", "scanDetections", "threatDetectedByName")
    for threat in inners(volumes, "threatNames"):
        for file in inners(threat, "filePaths"):
            yield from _hash(text(file, "hash"), _found(threat))
    threats = inners(service, "malwareScanDetails", "threats")
    for threat in threats:
        for item in (*inners(threat, "itemPaths"), *inners(threat, "itemDetails"), threat):
            yield from _hash(text(item, "hash"), _found(threat))
    if threats and all(_found(threat) is _MALWARE for threat in threats):
        for bucket in inners(resource, "s3BucketDetails"):
            for item in inners(bucket, "s3ObjectDetails"):
                yield from _hash(text(item, "hash"), _MALWARE)


def _found(threat: Doc) -> Ruling:
    return _TEST_FILE if "EICAR" in text(threat, "name").upper() else _MALWARE


def _processes(kind: str, details: Doc) -> Iterator[Proposal]:
    process = _MINER if kind.endswith("/CryptoMinerExecuted") else _PROCESS
    yield Proposal(Kind.SHA256, text(details, "process", "executableSha256"), process)
    context = inner(details, "context")
    yield Proposal(Kind.SHA256, text(context, "moduleSha256"), _PROCESS)
    for name in ("targetProcess", "modifyingProcess"):
        yield Proposal(Kind.SHA256, text(context, name, "executableSha256"), _PROCESS)


def _sequence(sequence: Doc) -> Iterator[Proposal]:
    for one in inners(sequence, "sequenceIndicators"):
        ruling = _SEQUENCE_KEYS.get(text(one, "key"))
        if ruling is not None:
            for value in texts(one, "values"):
                yield Proposal(None, value, ruling)
    for endpoint in inners(sequence, "endpoints"):
        yield address(text(endpoint, "ip"), _SEQUENCE)
        yield Proposal(Kind.DOMAIN, text(endpoint, "domain"), _SEQUENCE)


def _hash(digits: str, ruling: Ruling) -> Iterator[Proposal]:
    kind = _SCANNED.get(len(digits))
    if kind is not None:
        yield Proposal(kind, digits, ruling)


def _archived(proposals: list[Proposal]) -> Iterator[Proposal]:
    """Holds whatever would become an indicator or a sighting.

    Archived is not benign, so the values are not dropped; suppression rules archive what a site expects, so they are
    not asserted either.
    """
    for one in proposals:
        counts = one.ruling.role.is_indicator or one.ruling.role is Role.KNOWN_INDICATOR
        yield one._replace(ruling=_ARCHIVED) if counts else one


def _techniques(service: Doc) -> Iterator[str]:
    for one in inners(service, "detection", "sequence", "sequenceIndicators"):
        if text(one, "key") == "ATTACK_TECHNIQUE":
            for value in texts(one, "values"):
                found = _TECHNIQUE(value)
                if found:
                    yield found[0]
