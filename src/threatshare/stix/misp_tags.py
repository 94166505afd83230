"""What MISP's tags say of sharing, of confidence and of techniques; STIX writes the same words as labels.

The tables are those of the repository MISP/misp-taxonomies; seen in samples: tlp:white and tlp:clear. A tag that looks
like a restriction and is not exactly one that we know counts as one that we cannot read, whatever characters it is
dressed up in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from threatshare.model import Marking, Tlp

NAMELESS = "(a tag without a name)"
"""Stands for a tag of which nothing says what it is: a restriction, for all we know."""

_TLP_LABELS: Mapping[str, Tlp] = {"white": Tlp.CLEAR, **{tlp.label: tlp for tlp in Tlp}}
_AIS_TLP = "ais-marking:tlpmarking="
_HARMLESS = frozenset({"pap:white", "pap:clear", "pap:green", "ais-marking:cisa_proprietary=false"})
_HARMLESS_STARTS = ("ais-marking:aisconsent=", "ais-marking:aismarking=not_proprietary")
"""Consent says whether the submitter may be named; our indicators name nobody but us."""
_RESTRICTIONS = frozenset(
    "ais-marking acs-marking iep iep2-policy iep2-reference cssa de-vs dni-ism euci fr-classif nato gdpr".split()
)
"""Taxonomies that restrict what may be done: their tags are markings, and those that we cannot read hold."""
_NOT_TO_LEAVE = frozenset({"misp:should-not-sync", "misp:api=hide"})
_SECRETS = frozenset(
    "restricted confidential secret topsecret classified internal internalonly internaluse internaluseonly private "
    "proprietary noforn fouo forofficialuseonly eyesonly embargo embargoed donotshare donotdistribute donotpublish "
    "notforsharing notfordistribution notforpublication".split()
)
"""What people write by hand, letters only, as a tag or as what a tag says after its last colon or equals sign."""
_RESTRICTING = re.compile(
    r"^tlp|(?<![a-z0-9])tlp(?![a-z0-9])|(?<![a-z0-9])pap(?![a-z])|^pap(?:white|clear|green|amber|red)"
).search
_WRITTEN_OUT = ("trafficlight", "permissibleaction")
_DRESS = frozenset({"Cf", "Cc", "Mn", "Pi", "Pf", "Ps", "Pe"})
"""Categories of characters that do not count: invisible ones, accents, quotes and brackets."""
_QUOTES = frozenset("\"'`")

_CONFIDENCES: Mapping[str, int] = {
    'misp:confidence-level="completely-confident"': 100,
    'misp:confidence-level="usually-confident"': 75,
    'misp:confidence-level="fairly-confident"': 50,
    'misp:confidence-level="rarely-confident"': 25,
    'misp:confidence-level="unconfident"': 0,
}
"""The taxonomy's own numbers; "cannot be evaluated" is no statement."""

_TECHNIQUE = re.compile(r'^(?:misp-galaxy:)?mitre-[a-z-]*attack-pattern="[^"]*\b(T\d{4}(?:\.\d{3})?)"$').match


def marking_of_tags(tags: Iterable[str]) -> Marking:
    """Reads what tags say of sharing: the most restrictive TLP, and every restriction that we cannot read, sorted."""
    tlps: list[Tlp] = []
    unknown: set[str] = set()
    for tag in tags:
        plain = folded(tag)
        namespace, _, label = plain.partition(":")
        if plain.startswith(_AIS_TLP):
            namespace, label = "tlp", plain.removeprefix(_AIS_TLP)
        if namespace == "tlp" and label in _TLP_LABELS:
            tlps.append(_TLP_LABELS[label])
        elif plain in _HARMLESS or plain.startswith(_HARMLESS_STARTS):
            continue
        elif tag == NAMELESS or _restricts(plain):
            unknown.add(tag.strip())
    return Marking(max(tlps, default=None), tuple(sorted(unknown)))


def folded(tag: str) -> str:
    """Gives a tag in lower case, compatible characters as one, without blanks, quotes and what nobody sees."""
    plain = unicodedata.normalize("NFKD", tag).casefold()
    return "".join(
        one for one in plain if not one.isspace() and one not in _QUOTES and unicodedata.category(one) not in _DRESS
    )


def _restricts(plain: str) -> bool:
    namespace, *said = re.split("[:=]", plain)
    if namespace in _RESTRICTIONS or plain in _NOT_TO_LEAVE or _RESTRICTING(plain) is not None:
        return True
    letters = re.sub("[^a-z]+", "", plain)
    return letters.startswith(_WRITTEN_OUT) or re.sub("[^a-z]+", "", (namespace, *said)[-1]) in _SECRETS


def confidence_of_tags(tags: Iterable[str]) -> int | None:
    """Gives the lowest confidence that is tagged; None: none is."""
    return min((_CONFIDENCES[tag] for tag in tags if tag in _CONFIDENCES), default=None)


def techniques_of_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Gives the ATT&CK techniques of galaxy tags, e.g. of ``misp-galaxy:mitre-attack-pattern="... - T1543.004"``."""
    found = (_TECHNIQUE(tag.strip()) for tag in tags)
    return tuple(dict.fromkeys(one[1] for one in found if one is not None))
