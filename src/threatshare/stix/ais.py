"""Who submits to AIS: an Identity with a consent label, its Location, and the Relationship between them.

The form is that of MITRE's converter (oasis-open/cti-stix-elevator, ``stix2elevator/convert_stix.py`` and its
``idioms-json-2.1/ais-marking-*.json``). CISA's own AIS 2.0 profile was not available: nothing here is its word.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from uuid import uuid5

from threatshare.model import Tlp
from threatshare.stix.location import located_at, location
from threatshare.stix.objects import NAMESPACE, sectors
from threatshare.stix.tlp import TLP2_ID

Consent = Literal[
    "ais-consent-everyone", "ais-consent-everyone-cisa-proprietary", "ais-consent-usg", "ais-consent-none"
]
"""The labels of the submitter's Identity that carry consent, as MITRE's elevator writes them (sharing rules §1.3)."""
CONSENTS: tuple[Consent, ...] = get_args(Consent)
_SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class Submitter:
    """All that a submission says of who submits it."""

    identity: str
    """STIX id; everything submitted has it as ``created_by_ref``."""
    name: str
    sector: str
    """A word of STIX's industry sectors (STIX 2.1 §10.9)."""
    country: str
    """ISO 3166-1 alpha-2."""
    area: str
    """ISO 3166-2; its prefix equals the country."""
    created: str
    """STIX timestamp."""
    consent: Consent = "ais-consent-none"
    tlp: Tlp = Tlp.AMBER
    """Marking of the three objects."""


def identity_set(who: Submitter) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Builds Identity, Location and ``located-at``; the same submitter gives the same ids.

    Raises ValueError for a sector, country, area or consent that is none.
    """
    if who.sector not in sectors():
        raise ValueError(f"{who.sector!r} is no industry sector of STIX 2.1 §10.9")
    if who.consent not in CONSENTS:
        raise ValueError(f"{who.consent!r} is no consent label; there are {', '.join(CONSENTS)}")
    place = location(who.identity, who.country, who.area, who.created, who.tlp)
    return _identity(who), place, located_at(who.identity, place["id"], who.created, who.tlp)


def anonymous(who: Submitter, name: str, created: str, key: bytes) -> Submitter:
    """Gives the submitter under another name and an id that cannot be traced, always the same for a key.

    Our public identity id is known to partners, so an id that followed from it alone would tell them who it is.
    ``created``, a STIX timestamp, is another moment than our public Identity's, for the same reason. ``key`` is a
    secret of the node, of at least 16 bytes; who has it can trace the id. Sector, country and area stay, for AIS wants
    them. Objects submitted under it must be built for this identity too: ids of ours follow from their creator's.
    Raises ValueError for a key that is too short, a name that contains the true one, and the same moment.
    """
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"the key of an anonymous submitter has {len(key)} bytes, at least {_SHORTEST_KEY} are wanted")
    if who.name.casefold() in name.casefold():
        raise ValueError("the name of an anonymous submitter contains the true one")
    if created == who.created:
        raise ValueError("an anonymous submitter was created at the moment of the true one, which is public")
    secret = hmac.digest(key, f"ais submitter|{who.identity}".encode(), "sha256").hex()
    hidden = f"identity--{uuid5(NAMESPACE, f'ais|{secret}')}"
    return replace(who, identity=hidden, name=name, created=created, consent="ais-consent-none")


def _identity(who: Submitter) -> dict[str, Any]:
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": who.identity,
        "created_by_ref": who.identity,
        "created": who.created,
        "modified": who.created,
        "name": who.name,
        "identity_class": "organization",
        "sectors": [who.sector],
        "labels": [who.consent],
        "object_marking_refs": [TLP2_ID[who.tlp]],
    }
