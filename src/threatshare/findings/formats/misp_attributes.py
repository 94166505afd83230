"""What MISP attributes, categories and objects mean: tables first, then how they are read.

Types and categories are those of the MISP core format (misp-project.org/datamodels). Seen in samples: ip-src, ip-dst,
domain, hostname, url, hashes and their composites; the other rows follow the documentation. Tags: ``tags``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from threatshare.errors import BadValue
from threatshare.findings.documents import Doc, text, value
from threatshare.findings.events import Proposal
from threatshare.findings.formats.columns import value_of
from threatshare.findings.roles import Ruling
from threatshare.model import Kind, Role


class Part(NamedTuple):
    """One part of an attribute's value."""

    kinds: tuple[Kind, ...]
    ruling: Ruling


_IP = (Kind.IPV4, Kind.IPV6)
_MARKED = "marked for detection (to_ids)"
_SOURCE = Part(_IP, Ruling(Role.ATTACKER, f"MISP ip-src, {_MARKED}: where an attack came from"))
_DESTINATION = Part(_IP, Ruling(Role.C2, f"MISP ip-dst, {_MARKED}: where an attack leads to"))
_NAME = Part((Kind.DOMAIN,), Ruling(Role.C2, f"MISP domain or host name, {_MARKED}"))
_NAMED_ADDRESS = Part(_IP, Ruling(Role.C2, f"MISP domain|ip, {_MARKED}: the address behind the name"))
_SENDER = Part((Kind.EMAIL,), Ruling(Role.PHISH_SENDER, f"MISP sender or reply address, {_MARKED}"))
_ADDRESSEE = Part((Kind.EMAIL,), Ruling(Role.VICTIM_ASSET, "MISP recipient of a mail or target"))
_MAIL = Part(
    (Kind.EMAIL,),
    Ruling(Role.UNKNOWN, "MISP email, which says neither sender nor recipient: whose it is would decide; held"),
)


def _hash(kind: Kind) -> Part:
    return Part((kind,), Ruling(Role.PAYLOAD, f"MISP file hash, {_MARKED}"))


_HASHES: Mapping[str, Part] = {
    "md5": _hash(Kind.MD5),
    "sha1": _hash(Kind.SHA1),
    "sha256": _hash(Kind.SHA256),
    "sha512": _hash(Kind.SHA512),
}

TYPES: Mapping[str, tuple[Part | None, ...]] = {
    "ip-src": (_SOURCE,),
    "ip-dst": (_DESTINATION,),
    "ip-src|port": (_SOURCE, None),
    "ip-dst|port": (_DESTINATION, None),
    "domain": (_NAME,),
    "hostname": (_NAME,),
    "hostname|port": (_NAME, None),
    "domain|ip": (_NAME, _NAMED_ADDRESS),
    "url": (Part((Kind.URL,), Ruling(Role.PAYLOAD, f"MISP url, {_MARKED}")),),
    "email": (_MAIL,),
    "email-src": (_SENDER,),
    "email-reply-to": (_SENDER,),
    "email-dst": (_ADDRESSEE,),
    "target-email": (_ADDRESSEE,),
    **{name: (part,) for name, part in _HASHES.items()},
    **{f"filename|{name}": (None, part) for name, part in _HASHES.items()},
    "malware-sample": (None, _HASHES["md5"]),
}
"""A type's parts, divided by ``|``; None: a part that is not shared. All other types (snort, yara, sigma, patterns,
file names, registry keys, wallets, persons ...) are passed over."""

_VICTIM = Ruling(Role.VICTIM_ASSET, "MISP says that it was targeted, or describes it as an asset")
_UNDECIDED = Ruling(
    Role.UNKNOWN, "marked for detection (to_ids), but in a MISP category that may hold bystanders too; held"
)

_ATTACK_CATEGORIES = frozenset(
    {"Payload delivery", "Artifacts dropped", "Payload installation", "Persistence mechanism", "Network activity"}
)
_TARGETS = "Targeting data"
_PASSED_OVER = frozenset(
    {"Internal reference", "Attribution", "Person", "Support Tool", "Financial fraud", "Social network"}
)
"""Never shared, whatever ``to_ids`` says: about us, about people, or about who did it. Others are held."""

OBJECTS_OF_VICTIMS = frozenset("victim target-system corporate-asset employee organization person legal-entity".split())
"""Names of object templates that describe whom an attack met (MISP/misp-objects; seen in samples: corporate-asset)."""
OBJECTS_OF_FLOWS = frozenset("network-connection netflow network-traffic network-socket".split())
"""Names of object templates for one connection (MISP/misp-objects; unverified): who opened it is not said."""
OPENER = Ruling(
    Role.UNKNOWN, "the source of one connection, which may be the victim's end: who opened it would decide; held"
)

_TRUE = frozenset({"1", "true"})


def says(doc: Doc, key: str) -> bool:
    """Tells whether a flag is set, which MISP writes as true, 1 or "1"."""
    found = value(doc, key)
    return found is True or (found == 1 and isinstance(found, int)) or text(doc, key).lower() in _TRUE


def proposals_of(attribute: Doc, of_victim: bool) -> list[Proposal]:
    """Gives the values of one attribute with their parts; raises BadValue where a value to be shared is none.

    ``of_victim``: it belongs to an object that describes a victim. Recipients and targets are given whether marked or
    not, so that they outrank the same value in another part.
    """
    parts = TYPES.get(text(attribute, "type"), ())
    category = text(attribute, "category")
    if says(attribute, "deleted") or not parts or category in _PASSED_OVER:
        return []
    marked, victim = says(attribute, "to_ids"), of_victim or category == _TARGETS
    if not (marked or victim or _ADDRESSEE in parts):
        return []
    try:
        divided = zip(parts, _divided(text(attribute, "value"), len(parts)), strict=True)
        return [_proposal(part, said, category, victim) for part, said in divided if part is not None]
    except BadValue:
        if marked and not victim:
            raise
        return []


def _proposal(part: Part, said: str, category: str, victim: bool) -> Proposal:
    ruling = part.ruling
    if victim:
        ruling = _VICTIM
    elif category not in _ATTACK_CATEGORIES and ruling.role is not Role.VICTIM_ASSET:
        ruling = _UNDECIDED
    observable = value_of(said, part.kinds)
    return Proposal(observable.kind, observable.value, ruling)


def _divided(said: str, count: int) -> tuple[str, ...]:
    if count == 1:
        return (said,)
    # A file name may hold a bar, a hash or port never does.
    first, bar, last = said.rpartition("|")
    if not bar:
        raise BadValue(f"{said[:60]!r} has no two parts divided by |")
    return first, last
