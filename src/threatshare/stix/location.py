"""Places as STIX writes them: ISO 3166-1 countries, ISO 3166-2 areas, Location and ``located-at``."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid5

from threatshare.model import Tlp
from threatshare.stix.objects import NAMESPACE
from threatshare.stix.tlp import TLP2_ID

COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT
    JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY
    QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO
    TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """.split()
)
"""ISO 3166-1 alpha-2, the 249 codes that are assigned; STIX 2.1 §4.11 wants ``country`` to be one."""

_AREA = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}", re.ASCII).fullmatch


def is_country(text: object) -> bool:
    """Tells whether this is an ISO 3166-1 alpha-2 code, in upper case as the standard writes it."""
    return isinstance(text, str) and text in COUNTRIES


def is_area_of(text: object, country: object) -> bool:
    """Tells whether this has the form of an ISO 3166-2 code of a country; that the code is assigned is not checked."""
    form = _AREA(text) if isinstance(text, str) else None
    return form is not None and form[1] == country


def location(identity_id: str, country: str, area: str, created: str, tlp: Tlp) -> dict[str, Any]:
    """Builds the Location of an organisation; raises ValueError where country or area is no such code.

    ``country`` is ISO 3166-1 alpha-2, ``area`` an ISO 3166-2 code of it, ``created`` a STIX timestamp.
    """
    if not is_country(country):
        raise ValueError(f"{country!r} is no ISO 3166-1 country code in upper case")
    if not is_area_of(area, country):
        raise ValueError(f"{area!r} is no ISO 3166-2 code of {country}")
    return {
        "type": "location",
        "spec_version": "2.1",
        "id": f"location--{uuid5(NAMESPACE, f'{identity_id}|location|{area}')}",
        "created_by_ref": identity_id,
        "created": created,
        "modified": created,
        "country": country,
        "administrative_area": area,
        "object_marking_refs": [TLP2_ID[tlp]],
    }


def located_at(identity_id: str, location_id: str, created: str, tlp: Tlp) -> dict[str, Any]:
    """Builds the Relationship that says where an organisation is (STIX 2.1 §4.5, ``located-at``)."""
    return {
        "type": "relationship",
        "spec_version": "2.1",
        "id": f"relationship--{uuid5(NAMESPACE, f'{identity_id}|located-at|{location_id}')}",
        "created_by_ref": identity_id,
        "created": created,
        "modified": created,
        "relationship_type": "located-at",
        "source_ref": identity_id,
        "target_ref": location_id,
        "object_marking_refs": [TLP2_ID[tlp]],
    }
