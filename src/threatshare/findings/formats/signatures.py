"""What a rule of an intrusion detection system claims: an attack, a list it matched, or merely a policy.

The names are those of the Emerging Threats rule sets (``ET FAMILY text``) and the categories those of Suricata's
``classification.config``. A rule of a site's own, with neither, claims an attack.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

from threatshare.findings.roles import ATTACKER, C2, Ruling
from threatshare.model import Role


class Claim(Enum):
    """What a rule claims about the outside end."""

    ATTACK = "attack"
    """An attack, of which nothing says that only a target can be at the far end."""
    ATTEMPT = "attempt"
    """A scan, flood or exploit: its sender is the attacker, its receiver the target."""
    DELIVERY = "delivery"
    """Malware or a fake page that a server handed out."""
    REPUTATION = "reputation"
    """The address, name or URL was on somebody's list."""
    NONE = "none"
    """Policy or information: no attack at all."""
    DOUBTFUL = "doubtful"
    """The rule hunts for what is merely unusual, or for unwanted software."""


_FAMILY = re.compile(r"\s*(?:ET|ETPRO|GPL)\s+([A-Z0-9_]+)").match

_REPUTATION_FAMILIES = frozenset("DROP CINS COMPROMISED DSHIELD TOR BOTCC RBN INTEL 3CORESEC THREATVIEW_CS_C2".split())
_REPUTATION_TEXT = re.compile(
    r"(?i)poor reputation ip|block listed source|known compromised|reported cnc server|"
    r"\bsslbl\b|\burlhaus\b|\bthreatfox\b|\bspamhaus\b|\bcinsscore\b|ip reputation|\bblacklisted\b|\bblocklisted\b"
).search

_NO_ATTACK_FAMILIES = frozenset(
    "POLICY INFO CHAT P2P GAMES INAPPROPRIATE ICMP_INFO FILE_SHARING DYN_DNS REMOTE_ACCESS TA_ABUSED_SERVICES".split()
)
_DOUBTFUL_FAMILIES = frozenset("HUNTING JA3 ADWARE_PUP".split())
_ATTEMPT_FAMILIES = frozenset("SCAN DOS EXPLOIT WEB_SERVER WEB_SPECIFIC_APPS SQL SHELLCODE SCADA VOIP SNMP".split())
_DELIVERY_FAMILIES = frozenset("EXPLOIT_KIT PHISHING WEB_CLIENT ACTIVEX".split())

_NO_ATTACK_CATEGORIES = frozenset(
    {
        "Not Suspicious Traffic",
        "Unknown Traffic",
        "Misc activity",
        "Potential Corporate Privacy Violation",
        "Generic Protocol Command Decode",
        "Generic ICMP event",
        "Device Retrieving External IP Address Detected",
    }
)
_MALWARE_CATEGORIES = frozenset(
    {
        "A Network Trojan was detected",
        "Malware Command and Control Activity Detected",
        "Targeted Malicious Activity was Detected",
        "Crypto Currency Mining Activity Detected",
        "Domain Observed Used for C2 Detected",
    }
)
_ATTEMPT_CATEGORIES = frozenset(
    {
        "Attempted Information Leak",
        "Information Leak",
        "Large Scale Information Leak",
        "Attempted Denial of Service",
        "Denial of Service",
        "Detection of a Denial of Service Attack",
        "Detection of a Network Scan",
        "Attempted User Privilege Gain",
        "Attempted Administrator Privilege Gain",
        "Web Application Attack",
        "access to a potentially vulnerable web application",
        "An attempted login using a suspicious username was detected",
        "Attempt to login by a default username and password",
        "Executable code was detected",
        "Misc Attack",
    }
)
_DELIVERY_CATEGORIES = frozenset(
    {
        "Exploit Kit Activity Detected",
        "Possible Social Engineering Attempted",
        "Successful Credential Theft Detected",
    }
)

_TARGET = Ruling(Role.THIRD_PARTY, "the target of an attack that began on our side, not its source")
_NO_ATTACK = Ruling(Role.THIRD_PARTY, "the rule reports policy or information, no attack")
_DOUBTFUL = Ruling(
    Role.UNKNOWN, "the rule reports something unusual, not an attack; a person who knows the traffic can decide; held"
)
_LISTED = Ruling(Role.KNOWN_INDICATOR, "the rule matched a reputation list: a sighting of what others reported")
_SERVED = Ruling(Role.PAYLOAD, "outside, and delivered what the rule detected to our side")

_RULINGS: dict[Claim, tuple[Ruling, Ruling]] = {
    # what the outside end is where it began, and where our side began
    Claim.ATTACK: (ATTACKER, C2),
    Claim.ATTEMPT: (ATTACKER, _TARGET),
    Claim.DELIVERY: (_SERVED, _SERVED),
    Claim.REPUTATION: (_LISTED, _LISTED),
    Claim.NONE: (_NO_ATTACK, _NO_ATTACK),
    Claim.DOUBTFUL: (_DOUBTFUL, _DOUBTFUL),
}


@lru_cache(maxsize=16_384)
def claim_of(signature: str, category: str) -> Claim:
    """Tells what a rule claims, from its name first and its category second; a list it matched outranks both."""
    match = _FAMILY(signature)
    family = match[1] if match else ""
    if family in _REPUTATION_FAMILIES or _REPUTATION_TEXT(signature):
        return Claim.REPUTATION
    if family in _NO_ATTACK_FAMILIES or signature.startswith("SURICATA "):
        return Claim.NONE
    if family in _DOUBTFUL_FAMILIES:
        return Claim.DOUBTFUL
    if category in _MALWARE_CATEGORIES:
        return Claim.ATTACK
    if category in _DELIVERY_CATEGORIES or family in _DELIVERY_FAMILIES:
        return Claim.DELIVERY
    if category in _ATTEMPT_CATEGORIES or family in _ATTEMPT_FAMILIES:
        return Claim.ATTEMPT
    return Claim.NONE if category in _NO_ATTACK_CATEGORIES else Claim.ATTACK


def rulings(claim: Claim, sent_by_outside: bool) -> tuple[Ruling, Ruling]:
    """Gives what the outside end is where it began and where our side began.

    ``sent_by_outside``: whether the packet that matched came from there; an exploit that a server sends back makes
    the server its source, whoever opened the connection.
    """
    if claim is Claim.ATTEMPT and sent_by_outside:
        return ATTACKER, _SERVED
    return _RULINGS[claim]
